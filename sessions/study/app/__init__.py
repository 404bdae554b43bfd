"""The web pages of a study (Streamlit). Thin: what they show and store is `sessions.study`'s.

`main` is the script that `duo study serve` runs. A page holds no truth of its own: each run asks
the session where the rater is and what was answered, and every click is stored before the page is
drawn again.

What transcripts say reaches the browser as JSON, for `player.js`, which makes text nodes of it;
it is never part of any HTML or Markdown. Raters' own comments are shown to themselves only, in a
text field. The texts of a design are its author's: consent, instructions and the example's
explanation may use Markdown (never HTML), all others are shown as they are.
"""

from __future__ import annotations
