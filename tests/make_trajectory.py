"""Write trajectory.json anew: ``python -m tests.make_trajectory``, after a change that is meant."""

import json
import tempfile
from pathlib import Path

from tests import test_training
from tests.texts import prose


def main() -> None:
    home = Path(tempfile.mkdtemp())
    text = home / "t.txt"
    text.write_text(prose(4000), encoding="utf-8")
    plan = test_training.plan_for(str(text), train__steps=10)
    trainer = test_training.trainer_for(plan, str(home))
    losses = test_training.losses(test_training.follow(trainer))
    content = json.dumps({"losses": losses}, indent=1) + "\n"
    test_training.TRAJECTORY.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
