/* The proof: the page compares itself with NumPy. */

const NEAR = 1e-9; // largest difference that counts as equal

/** Compare the page with NumPy. */
async function prove() {
  const { ids, log_probs: expected } = spec.proof;
  const { norms, shares } = spec.recorded ? { norms: [], shares: [] } : spec.proof;
  const job = begin("proof");
  let worst = 0;
  const differ = (a, b) => { worst = Math.max(worst, Number.isFinite(a) && Number.isFinite(b) ? Math.abs(a - b) : Infinity); };
  let { state, logProbs } = model.begin();
  let before = state;
  const steps = [];
  for (const [i, id] of ids.entries()) {
    differ(logProbs[id], expected[i]);
    before = state;
    state = model.step(id, state);
    logProbs = model.next(state);
    steps.unshift({ ...state[model.L - 1], reset: id === spec.separator });
    await job.breathe();
  }
  const found = [];
  for (const step of model.follow(steps.slice(1, 1 + norms.length), model.lossGradient(before, ids[ids.length - 1]))) {
    found.push(step);
    await job.breathe();
  }
  norms.forEach((norm, k) => differ(found[k] ? found[k].norm : NaN, norm));
  shares.forEach((of, k) => Object.entries(of).forEach(([name, share]) => differ(found[k] ? found[k].shares[name] : NaN, share)));
  found.forEach(({ difference }) => differ(difference, 0));
  return { worst, characters: ids.length, steps: norms.length };
}
function showProof({ worst, characters, steps }) {
  const passed = worst <= NEAR;
  document.documentElement.dataset.selftest = passed ? "passed" : "failed";
  $("proof").className = passed ? "passed" : "failed";
  const way = spec.recorded ? "From the states that Python has computed, this page computes the probabilities that NumPy computed" : "";
  $("proof").textContent = passed && way ? `✓ ${way}: ${characters} ${NOUN}s differ by ${worst.toExponential(0)} at most.` : passed
    ? `✓ This page computes what NumPy computed: ${characters} ${NOUN}s and ${steps} steps of gradient differ by ${worst.toExponential(0)} at most.`
    : `✗ This page does not compute what NumPy computed (difference ${number(worst)}): the file may be damaged, or the browser computes differently. Do not rely on its numbers.`;
}
