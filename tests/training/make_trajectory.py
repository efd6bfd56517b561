"""Write trajectory.json anew, after a change that is meant.

``python -m tests.training.make_trajectory``.
"""

import json
import os
import tempfile
from pathlib import Path

from tests.texts import prose
from tests.training.test_trainer import TRAJECTORY
from tests.training.trainers import follow, losses, plan_for, trainer_for


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        Path("t.txt").write_text(prose(4000), encoding="utf-8")
        plan = plan_for("t.txt", train__steps=10)
        made = losses(follow(trainer_for(plan)))
        os.chdir(TRAJECTORY.parent)
    TRAJECTORY.write_text(json.dumps({"losses": made}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
