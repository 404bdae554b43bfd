"""The rater study: blinded, balanced comparisons of recorded dialogues.

How it hangs together
    `design` (YAML) and `materials` (transcripts, made harmless by `blinding`) become a study
    (`study`) in a database (`store`). `people` get links; `assignment` decides who sees what, and
    `pages` keeps it; `session` is a rater's way through, `admin` the researcher's view. `votes`,
    `export`, `status`, `leaks`, `preregistration`, `power` and `simulation` are for the researcher.

What pages use
    Nothing but this; a page holds no truth of its own.

        from sessions.study.study import open_study
        from sessions.study.session import Unanswered, open_session
        from sessions.study.people import Refused
        from sessions.study.views import Answer
        from sessions.study.status import open_admin

        study = open_study(folder)                      # once per process; thread-safe
        session = open_session(study, token, panel_id)  # each run of a page; cheap
        view = session.view()                           # or view(number) to go back

    `view` is one of (see `views`, each with what it needs):

    ===================  ==========================================================================
    ConsentView          session.consent(True or False)
    InstructionsView     session.understood()
    ComprehensionView    session.answer_questions([chosen option of each question]) -> passed
    RatingView           session.draft(view.page, criterion, Answer.of("left")) at each click,
                         session.draft_comment(view.page, text),
                         session.happened(view.page, "play"), also pause, seek, audio, focus, blur,
                         session.submit(view.page, nonce=nonce); then session.view() again
    FinishedView         shows the code; session.view(number) still goes back to pages 1..last
    StoppedView             paused, closed, declined (session.reconsider()), screened_out
    ===================  ==========================================================================

    Answers: `Answer.of("left" | "right" | "tie" | "both_bad")` for two dialogues,
    `Answer.ranked([2, 1, 2])` for more (equal numbers are ties), `answer.choice` and
    `answer.ranks` to show them again. `submit` takes what was drafted; answers given to it win over
    drafts. It raises `Unanswered` (with `.criteria`) if something is missing and returns False if
    this very submission is stored already. A form keeps the nonce of the first view it was drawn
    from until it was submitted: `view()` makes a new one each time.

    Each `RatingView.dialogues` has a `label` ("A", "B"), perhaps `audio` (a path), and a `dialogue`
    with `words` (who, start, end, text; for lanes and replay), `utterances` (whole stretches, for
    screen readers) and `seconds`; `view.seconds` is the common time axis.

    Everything may raise `Refused`: its message is meant for the browser. The texts of a transcript
    are plain text: without control and direction characters, but with whatever else people or
    models wrote. They must be shown as text, never as HTML or Markdown; so must comments.

    Administrators: `open_admin(study, token)` with `status()` (`Status`: raters, items, agreement,
    flags), `set_state("open" | "paused" | "closed")` and `revoke(rater)`.

    Links: raters and panels come with `?t=TOKEN` (panels add `&PROLIFIC_PID=...`, which is
    `panel_id`), administrators with `?admin=TOKEN`. `duo study serve` passes the study's folder in
    the environment variable `DUO_STUDY`.
"""

from __future__ import annotations
