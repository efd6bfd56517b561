"""``grucli example``."""

from tests.cli.helpers import fails_where_the_backward_pass_is_wrong
from tests.conftest import Grucli


def test_a_wrong_backward_pass_fails_the_command(grucli: Grucli) -> None:
    fails_where_the_backward_pass_is_wrong(grucli, "example")
