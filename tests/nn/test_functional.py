import numpy as np

from grucli.nn.functional import log_softmax, sigmoid_, softmax_cross_entropy_


def test_sigmoid_is_exact_and_saturates() -> None:
    a = np.array([-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4])
    result = a.copy()
    sigmoid_(result)
    expected = [0.0, 1 / (1 + np.exp(100.0)), 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1.0, 1.0]
    np.testing.assert_allclose(result, expected, rtol=1e-15, atol=1e-16)


def test_log_softmax_of_huge_logits() -> None:
    np.testing.assert_allclose(
        log_softmax(np.array([[1000.0, 1000.0, -1000.0]])),
        [[-np.log(2), -np.log(2), -2000.7]],
        rtol=1e-4,
    )


def test_cross_entropy_is_minus_the_log_probability_of_the_targets() -> None:
    rng = np.random.default_rng(0)
    c, targets = rng.normal(0, 3, (5, 4)), np.array([0, 3, 1, 1, 2])
    y = np.exp(c) / np.exp(c).sum(axis=1, keepdims=True)
    b_c, db_c = rng.normal(0, 3, 4), np.ones(4)
    gradient = c - b_c
    loss = softmax_cross_entropy_(gradient, b_c, targets, 0.25, db_c)
    np.testing.assert_allclose(loss, -np.log(y[np.arange(5), targets]).sum(), rtol=1e-13)
    np.testing.assert_allclose(gradient, 0.25 * (y - np.eye(4)[targets]), atol=1e-15)
    np.testing.assert_allclose(db_c, 1 + gradient.sum(axis=0), atol=1e-15)
