"""What the pages say, in each language, and the texts of a design in others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from duo.errors import BadInput
from sessions.study.design import Design, read_design
from sessions.study.wording import LANGUAGES, closest, words_in, words_of
from tests.sessions.study.studies import design


def test_all_languages_say_the_same_things() -> None:
    assert {"en", "zh"} <= set(LANGUAGES)
    for language in LANGUAGES:
        words_of(words_in(language).texts)  # the same keys, and no place that has nothing to say
        for group, texts in words_in("en").texts.items():
            for name in texts:
                said = words_in(language).texts[group][name]
                said = said["other"] if isinstance(said, dict) else said
                own = texts[name]["other"] if isinstance(texts[name], dict) else texts[name]
                assert str(said).count("{") == str(own).count("{"), (language, group, name)


def test_a_text_is_filled_in_once_and_counts() -> None:
    words = words_in("en")
    assert words("comprehension.left", count=1).startswith("You have 1 attempt left")
    assert words("comprehension.left", count=2).startswith("You have 2 attempts left")
    assert words("comprehension.wrong", because="{count}") == "Not quite: {count}"
    assert words_in("xx").language == "en"


def test_the_closest_language_is_taken() -> None:
    assert closest(("en", "zh"), "zh-Hant-TW", "en") == "zh"
    assert closest(("en", "zh-CN"), "ZH-cn", "en") == "zh-CN"
    assert closest(("fr", "en"), None, "fr") == "fr"


def test_the_papers_design_speaks_chinese_and_scores_the_same() -> None:
    own = read_design(language=("en", "zh"))
    chinese = own.in_language("zh")
    assert own.in_language("en") is own
    assert chinese.criterion_names == own.criterion_names
    assert all(one.shown != other.shown for one, other in
               zip(own.criteria, chinese.criteria, strict=True))  # fmt: skip
    assert chinese.example is not None
    assert own.example is not None
    times = [[(line.who, line.start) for line in one] for one in own.example.dialogues]
    assert [[(line.who, line.start) for line in one] for one in chinese.example.dialogues] == times
    for texts in (chinese.consent, chinese.instructions, chinese.checks.instruction):
        assert any("一" <= sign <= "鿿" for sign in texts)
    assert (
        Design.model_validate_json(own.model_dump_json()).in_language("zh").title == chinese.title
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"language": ["en", "zh"]}, "language: has no translation into en or into zh"),
        ({"language": "fr"}, "language: the pages do not speak 'fr'"),
        ({"translations": {"zh": {"titel": "x"}}}, "translations.zh.titel: there is no such text"),
        ({"translations": {"zh": {"seed": 1}}}, "translations.zh.seed: is the same in all"),
        ({"translations": {"zh": {"title": 1}}}, "translations.zh.title: must be a text"),
        ({"translations": {"zh": {"criteria": [{}]}}}, "translations.zh.criteria: has 1 parts"),
        (
            {"translations": {"zh": {"criteria": [{"name": "x"}, {}]}}},
            "translations.zh.criteria[0].name: must be 'speed'",
        ),
        (
            {
                "comprehension": {
                    "questions": [
                        {"ask": "?", "options": ["a", "b"], "answer": "a", "because": "."}
                    ]
                },
                "translations": {
                    "zh": {
                        "comprehension": {"questions": [{"options": ["甲", "乙"], "answer": "乙"}]}
                    }
                },
            },
            "translations.zh.comprehension.questions[0].answer: is another option",
        ),
        ({"strings": {"fr": {"language": {}}}}, "strings.fr.page: is missing"),
    ],
)
def test_what_does_not_fit_a_language_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(yaml.safe_dump(design().model_dump(mode="json") | changes), "utf-8")
    with pytest.raises(BadInput) as caught:
        read_design(path)
    assert message in str(caught.value)


def test_a_language_of_ones_own_is_a_file(tmp_path: Path) -> None:
    words = yaml.safe_load(yaml.safe_dump({g: dict(t) for g, t in words_in("en").texts.items()}))
    words["page"]["title"] = "Étude"
    (tmp_path / "fr.yaml").write_text(yaml.safe_dump(words, allow_unicode=True), "utf-8")
    (tmp_path / "texts.yaml").write_text("title: Conversations\n", "utf-8")
    path = tmp_path / "design.yaml"
    own = design().model_dump(mode="json") | {
        "language": ["en", "fr"], "strings": {"fr": "fr.yaml"},
        "translations": {"fr": "texts.yaml"},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(own), "utf-8")
    read = read_design(path)
    assert read.strings["fr"]["page"]["title"] == "Étude"
    assert read.in_language("fr").title == "Conversations"
    words["page"]["away"] = "{server} is gone"
    (tmp_path / "fr.yaml").write_text(yaml.safe_dump(words, allow_unicode=True), "utf-8")
    with pytest.raises(BadInput, match=r"fr\.yaml:\d+: page\.away: has no \{server\} to say"):
        read_design(path)
