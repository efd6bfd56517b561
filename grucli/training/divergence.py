"""When a run has diverged: its losses are no numbers, absurd, or no better than a guess.

All decisions depend only on losses and steps, so that a resumed run makes the same ones.
"""

import math

from grucli.defaults import learning_rate, lower_rate
from grucli.errors import DivergedError
from grucli.evaluation import guessed
from grucli.run.checkpoint import Progress
from grucli.run.records import Pointer
from grucli.training.plan import Plan
from grucli.training.step import Gradient

NONFINITE_STEPS = 5  # consecutive non-finite steps before the run counts as diverged

# A loss is absurd above this many times that of guessing all characters with equal probability;
# and the consecutive absurd steps before the run counts as diverged.
ABSURD, ABSURD_STEPS = 2.0, 20

# Steps after which a network that learns anything is better than the frequencies of characters.
FIRST_STEPS = 200

LR_FACTOR = 0.5  # factor for the learning rates each time a run goes back

LEAST_FACTOR = 2.0**-10  # smallest product of these factors; a run that diverges with it ends

# A network has learned something if its loss is lower than this share of that guess; and the share
# of what it has learned that only a network that diverges loses again.
LEARNED, LOST = 0.95, 0.25

# Share of the default learning rate that is too low to be why a run has learned nothing.
SLOW = 1 / 8


def check_step(plan: Plan, progress: Progress, of: Gradient) -> None:
    """Count the steps in a row whose losses are no numbers or absurd; too many are an error."""
    absurd = of.loss > ABSURD * math.log(len(plan.counts)) * of.chars
    progress.consecutive_absurd = progress.consecutive_absurd + 1 if absurd else 0
    too_many = progress.consecutive_absurd >= ABSURD_STEPS
    if too_many or progress.consecutive_nonfinite >= NONFINITE_STEPS:
        raise diverged(progress.step, of.loss / of.chars, of.norm)


def check_learning(plan: Plan, progress: Progress, loss: float) -> None:
    """Refuse a validation and a training loss that are both those of a run that has diverged."""
    guess, factor, settings = guessed(plan.counts, plan.counts), progress.lr_factor, plan.settings
    best = guess if progress.best_loss is None else progress.best_loss
    had_learned = best < LEARNED * guess
    usual = {"batch": plan.windows.B, "steps": plan.budget.steps}
    default = learning_rate(settings.model, settings.train.model_copy(update=usual))
    slow = factor * settings.optim.lr <= SLOW * default
    too_early = not had_learned and (slow or progress.step < FIRST_STEPS)
    limit = best + LOST * (guess - best) if had_learned else guess
    # a validation loss alone also rises where a network memorizes its text
    loss = min(loss, progress.train_loss)
    if too_early or factor <= LEAST_FACTOR or loss < limit:
        return
    if not had_learned:
        progress.best_step = None  # that evaluation is not worth going back to
    best_was = f"it was {best:.4g} at step {progress.best_step:,}, and " if had_learned else ""
    raise DivergedError(
        f"step {progress.step:,}: the loss is {loss:.4g}; {best_was}guessing characters by their "
        f"frequency gives {guess:.4g}"
    )


def diverged(step: int, loss: float, norm: float) -> DivergedError:
    return DivergedError(
        f"step {step:,}: the loss is {loss:.4g} and the norm of its gradient {norm:.4g}"
    )


def ended(problem: DivergedError, saved: Pointer | None, lr: float) -> DivergedError:
    """The error that ends a run; it advises a rate below ``lr``."""
    step = saved.step if saved else 0
    kept = f"; the checkpoint of step {step:,} was saved before that" if step else ""
    return DivergedError(
        f"{problem}{kept}; start again with a lower learning rate, such as {lower_rate(lr)}"
    )
