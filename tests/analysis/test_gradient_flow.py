
from grucli.analysis import gradient_flow


def test_where_a_norm_falls_below_a_limit() -> None:
    assert gradient_flow.falls_below([1.0, 0.5, 0.009, 0.02], 0.01) == 2
    assert gradient_flow.falls_below([1.0, 0.5], 0.01) is None
