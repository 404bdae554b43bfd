"""Run rater studies: blinded, balanced comparisons of recorded dialogues.

`design` (YAML) and `materials` (transcripts, made harmless by `blinding`) become a study (`study`)
in a database (`store`, `tables`). `people` get links; `pages` decides who sees what; `session` is a
rater's way through, with the transactions. `votes` are derived from it for `exports`, `status` (the
administrator's view, with `signs` of who does not look) and the statistics; `importing` brings them
back. `leaks` and `preregistration` are for before the first rater; `judge` is a language model that
rates, apart; `app` are the web pages, which use nothing but this:

    study = open_study(folder)                      # once per process; thread-safe
    session = open_session(study, token, panel_id)  # each run of a page; cheap
    view = session.view()                           # or view(number) to go back; see `views`

Everything may raise `people.Refused`: its message is meant for the browser. The texts of a
transcript are plain text: without control and direction characters, but with whatever else people
or models wrote. They must be shown as text, never as HTML or Markdown; so must comments.
"""

from __future__ import annotations
