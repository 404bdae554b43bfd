"""A check by another road: a linear mixed model of the votes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.statistics.estimate import finite

if TYPE_CHECKING:
    import pandas as pd

#: More votes than this are not fitted: the model is dense in dialogues and raters.
_MOST_VOTES = 2500
_ROUNDS = 2000


@dataclass(frozen=True)
class MixedCheck:
    """The fitted model.

    Attributes:
        net: estimated preference on the scale of the net win rate, both sides alike.
        error: its standard error.
        p: two-sided, normal.
        side: what standing on the left adds.
        dialogue_variance, rater_variance, residual_variance: estimated components.
        converged: whether the optimiser says so. If it does not, trust none of it.
        note: what went wrong, or "".
    """

    net: float | None = None
    error: float | None = None
    p: float | None = None
    side: float | None = None
    dialogue_variance: float | None = None
    rater_variance: float | None = None
    residual_variance: float | None = None
    converged: bool = False
    note: str = ""


def mixed_check(rows: pd.DataFrame, first: str, *, cluster: str = "item") -> MixedCheck:
    """Fit vote = net + side * left + dialogue + rater + error by restricted maximum likelihood.

    The vote is 1 for the first system, -1 for the other and 0 for neither, left is 1 or -1;
    dialogue and rater are crossed random intercepts, written as variance components of a single
    group (Baayen, Davidson and Bates 2008, Journal of Memory and Language 59: 390-412; statsmodels
    `MixedLM`). Its normal p ignores that few raters leave their variance uncertain, so it is a
    check of the estimate and not the test that is reported first.

    Args:
        rows: first votes on one criterion and pair, with `outcome` (see `panel.votes_on`).
        first: the first system.
        cluster: the column that names the dialogue.
    """
    import pandas as pd

    vote = rows["outcome"].map({"win": 1.0, "loss": -1.0}).fillna(0.0)
    if len(rows) > _MOST_VOTES:
        return MixedCheck(note=f"not fitted: more than {_MOST_VOTES} votes")
    if rows["rater"].nunique() < 2 or rows[cluster].nunique() < 2:
        return MixedCheck(note="not fitted: needs two dialogues and two raters")
    if vote.nunique() < 2:
        return MixedCheck(note="not fitted: all votes are alike")
    # Numbers for names: the formula language must never read anybody's text.
    data = pd.DataFrame(
        {
            "vote": vote.to_numpy(),
            "left": np.where(rows["system_left"] == first, 1.0, -1.0),
            "dialogue": pd.factorize(rows[cluster])[0],
            "rater": pd.factorize(rows["rater"])[0],
        }
    )
    return _fit(data)


def _fit(data: pd.DataFrame) -> MixedCheck:
    from statsmodels.regression.mixed_linear_model import (  # type: ignore[import-untyped]
        MixedLM,
    )

    sided = data["left"].nunique() > 1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = MixedLM.from_formula(
                "vote ~ left" if sided else "vote ~ 1",
                groups=np.zeros(len(data)),
                vc_formula={"dialogue": "0 + C(dialogue)", "rater": "0 + C(rater)"},
                data=data,
            )
            # Without gradients: these mislead at the edge, where a component is zero.
            return _check(model.fit(method="nm", maxiter=_ROUNDS), sided)
        except (np.linalg.LinAlgError, ValueError) as error:
            return MixedCheck(note=f"not fitted: {error}")


def _check(fitted: Any, sided: bool) -> MixedCheck:
    by_name = dict(zip(fitted.model.exog_vc.names, map(float, fitted.vcomp), strict=True))
    net, error = finite(fitted.fe_params.iloc[0]), finite(fitted.bse_fe.iloc[0])
    converged = bool(fitted.converged) and error is not None
    return MixedCheck(
        net=net,
        error=error,
        p=finite(fitted.pvalues.iloc[0]),
        side=finite(fitted.fe_params.iloc[1]) if sided else None,
        dialogue_variance=finite(by_name["dialogue"]),
        rater_variance=finite(by_name["rater"]),
        residual_variance=finite(fitted.scale),
        converged=converged,
        note="" if converged else "did not converge: do not rely on it",
    )
