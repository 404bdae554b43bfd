"""Every text of the rater's pages is one of the language file or of the design."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

import pytest

from sessions.study.people import invite, invite_raters, revoke
from sessions.study.session import open_session
from sessions.study.study import Study, set_state
from sessions.study.views import RatingView
from sessions.study.wording import words_in
from tests.sessions.study.app.browser import Browser, browsing, needs_browser, served, until
from tests.sessions.study.app.test_app_pages import Opener, Page, button, opens, page, says
from tests.sessions.study.studies import CRITERIA, StudyMaker, begin

pytest.importorskip("streamlit")
__all__ = ["opens", "page", "says"]

#: What the dialogues of these studies say, and what is no language.
_DIALOGUES = {"Hello", "here", "speaks", "number", "of", "talk", "and", "so", "on", "to", "nine"}

#: Texts that can be read or heard: text nodes, and the names of what has none.
_SEEN = """
const texts = [];
const walk = (node) => {
  if (node.nodeType === 3) texts.push(node.data);
  if (["STYLE", "SCRIPT", "NOSCRIPT"].includes(node.nodeName)) return;
  if (node.nodeType === 1 && getComputedStyle(node).display === "none") return;
  for (const name of ["aria-label", "title", "placeholder", "aria-valuetext"])
    if (node.getAttribute?.(name)) texts.push(node.getAttribute(name));
  if (node.shadowRoot) walk(node.shadowRoot);
  node.childNodes.forEach(walk);
};
walk(document.body);
return texts;
"""


def marked(texts: Any) -> Any:
    """The texts of a language, each between marks."""
    if isinstance(texts, str):
        return f"⟦{texts}⟧"
    if isinstance(texts, list):
        return [marked(one) for one in texts]
    return {name: marked(one) for name, one in texts.items()}


def strange(texts: Iterable[str]) -> list[str]:
    """Words that neither the language file nor the design said."""
    left = " ".join(texts)
    while left != (left := re.sub(r"⟦[^⟦⟧]*⟧|«[^«»]*»", " ", left)):
        pass
    return [word for word in re.findall(r"[^\W\d_]{2,}", left) if word not in _DIALOGUES]


@pytest.fixture
def study(make_sqlite: StudyMaker) -> Study:
    """All that is asked, in a language in which everything is marked."""
    text = {"question": "«q»", "definition": "«d»", "better": "«b»", "worse": "«w»"}
    line = {"who": "user", "start": 0.0, "end": 1.0, "say": "«Hi»"}
    return make_sqlite(
        items=2,
        title="«Test»",
        language="xx",
        strings={"xx": marked({g: dict(t) for g, t in words_in("en").texts.items()})},
        consent="«May we?»",
        about={"who": "«me»"},
        instructions="«Do this.»",
        criteria=[{"name": name, "title": f"«{name}»", **text} for name in CRITERIA],
        example={"explanation": "«E»", "dialogues": [[line], [line]]},
        comprehension={
            "attempts": 2,
            "questions": [
                {"ask": "«R?»", "options": ["«yes»", "«no»"], "answer": "«yes»", "because": "«.»"}
            ],
        },
        before=[
            {"name": "age", "kind": "choice", "ask": "«Age?»", "options": ["«a»", "«bb»"]},
            {"name": "many", "kind": "several", "ask": "«M?»", "options": ["«c»", "«dd»"]},
            {"name": "often", "kind": "scale", "ask": "«O?»", "low": "«low»", "required": True},
            {"name": "years", "kind": "number", "ask": "«Y?»", "least": 0},
            {"name": "more", "kind": "text", "ask": "«More?»"},
        ],
        strength={"levels": {"some": "«some»", "much": "«much»"}},
        marks={"kinds": {"stop": "«stop»"}, "least": 1},
        checks={"exposure": "replayed"},
    )


def shown(app: Any) -> list[str]:
    """What a page says but for its timelines."""
    kinds = ("html", "markdown", "warning", "error", "caption", "link_button", "expander")
    parts = [one.proto for kind in kinds for one in app.get(kind)]
    texts = [getattr(one, "body", "") or getattr(one, "label", "") for one in parts]
    found = [re.sub(r"<[^>]*>|\\n", " ", text) for text in texts]
    assert not app.exception
    return [text for text in found if "{ padding" not in text] + [one.label for one in app.button]


def test_the_pages_around_say_nothing_of_their_own(
    make_sqlite: StudyMaker, study: Study, opens: Opener, page: Page, says: Any
) -> None:
    seen: list[str] = []
    (invitation, gone) = invite_raters(study, 2)
    app = opens(study, t=invitation.token)
    for label in ("decline", "reconsider", "agree"):
        seen += shown(app)
        group = "stopped" if label == "reconsider" else "consent"
        button(app, marked(words_in("en")(f"{group}.{label}"))).click().run()
    button(app, "⟦Go on⟧").click().run()
    seen += shown(app)
    assert "⟦Please answer also: «O?»⟧" in " ".join(shown(app))
    app.text_input[0].set_value("many")
    app.radio[1].set_value(1)
    button(app, "⟦Go on⟧").click().run()
    assert "⟦Please write a number of 0 or more.⟧" in " ".join(shown(app))
    app.text_input[0].set_value("7,5")
    button(app, "⟦Go on⟧").click().run()
    seen += shown(app)
    button(app, "⟦I have read this⟧").click().run()
    button(app, "⟦Check my answers⟧").click().run()
    seen += shown(app)
    app.radio[0].set_value("«no»")
    button(app, "⟦Check my answers⟧").click().run()
    seen += shown(app)
    app.radio[0].set_value("«yes»")
    button(app, "⟦Check my answers⟧").click().run()
    says(app, go="next", speed=(1, 2), sense=(1, 1))
    assert page.data["problem"].startswith("⟦Please mark at least 1 place")
    page.said = {
        **(page.said or {}),
        "message": 9,
        "marks": [{"label": "A", "turn": 1, "mark": "stop"}],
    }
    app.run()
    assert page.data["problem"] == "⟦Please play conversations A⟦ and ⟧B first, to the end.⟧"
    seen.append(page.data["problem"])
    button(app, "⟦Withdraw from the study⟧").click().run()
    seen += shown(app)
    button(app, "⟦Withdraw and leave my answers⟧").click().run()
    seen += shown(app)
    revoke(study, [gone.name])
    seen += shown(opens(study, t=gone.token)) + shown(opens(study)) + shown(opens(study, t="x"))
    panel = invite(study, "panel", label="p").token
    seen += shown(opens(study, t=panel)) + shown(opens(study, t=panel, PROLIFIC_PID="{{%P%}}"))
    fresh = opens(study, t=panel, PROLIFIC_PID="a")
    set_state(study, "paused")
    seen += shown(fresh.run())
    for told in ("«Test»", "⟦I agree", "⟦Who does", "«Age?»", "⟦Not quite", "⟦The study is "
                 "paused", "⟦This link is not known", "⟦Delete my answers, too"):  # fmt: skip
        assert told in " ".join(seen)
    assert strange(seen) == []


@needs_browser
def test_the_rating_page_says_nothing_of_its_own_and_a_dead_server_is_told_of(study: Study) -> None:
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    session.consent(True)
    session.answer_questionnaire({"often": 1})
    with served(study) as server, browsing(width=390, height=844) as browser:
        browser.open(invitation.link(server.address))
        browser.sees("⟦I have read this⟧")
        browser.settled()
        assert strange(browser.driver.execute_script(_SEEN)) == []
        server.stop()
        browser.sees("⟦The connection is interrupted.⟧")
        time.sleep(6)  # until Streamlit would speak of it
        assert strange(browser.driver.execute_script(_SEEN)) == []
        assert "treamlit" not in " ".join(browser.driver.execute_script(_SEEN))
        server.start()
        until(lambda: "⟦The connection is interrupted.⟧" not in seen_now(browser), why="it is back")
        browser.click("⟦I have read this⟧")
        browser.choose(0, "«yes»")
        browser.click("⟦Check my answers⟧")
        browser.sees("⟦Page 1 of 2⟧")
        browser.choose(0, "⟦A better⟧")
        browser.choose_in("«speed»: ⟦How strong is your preference?⟧", "«much»")
        browser.click("here", tag=".bubble[data-turn]")
        browser.click("«stop»", tag=".chooser label")
        until(lambda: len(page_now(study, invitation.token).marks) == 1, why="the mark is stored")
        browser.settled()
        assert strange(browser.driver.execute_script(_SEEN)) == []
        width = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= 390
        assert page_now(study, invitation.token).answers["speed"].strength == "much"
        assert browser.driver.execute_script("return document.activeElement.tagName") != "IFRAME"


@needs_browser
def test_a_rater_changes_the_language_at_work(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(
        items=1,
        language=["en", "zh"],
        translations={"zh": {"criteria": [{"title": "速度"}, {"title": "意义"}]}},
    )
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    with served(study) as server, browsing() as browser:
        browser.open(invitation.link(server.address))
        browser.choose(0, "A better")
        browser.click("中文")
        browser.sees("哪段对话更好？")
        browser.sees("速度")
        browser.shows(0, "A 更好")
        browser.choose(1, "一样好")
        browser.driver.refresh()
        browser.shows(1, "一样好")
        browser.click("下一页")
        browser.sees("您的完成代码")


def seen_now(browser: Browser) -> str:
    return " ".join(browser.driver.execute_script(_SEEN))


def page_now(study: Study, token: str) -> RatingView:
    view = open_session(study, token).view()
    assert isinstance(view, RatingView)
    return view
