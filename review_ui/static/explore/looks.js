// What pictures are made of: looks, as the server reads them, and what is between two.

export const USUAL_PSI = 0.7;
export const NOISES = ["fixed", "random", "none"];
// Some way before numbers end, so that there are seeds after each.
export const LARGEST_SEED = Number.MAX_SAFE_INTEGER - 1_000_000;

const DRAWN_BELOW = 2 ** 32;
const PRECISE = 1_000;

/**
 * @typedef {{seed: number, projection: string|null, psi: number, cutoff: number|null,
 *   label: number|null, noise: string, mix: {seed: number, first: number, last: number}|null,
 *   edits: {set: string, index: number, amount: number}[]}} Look
 */
/** @typedef {{look: Look, other: Look|null, share: number}} Between */

const PLAIN = Object.freeze({ seed: 0, projection: null, psi: 1, cutoff: null, label: null, noise: "fixed", mix: null, edits: Object.freeze([]) });

/** Give a look; what is not said is as the server has it. @returns {Look} */
export function look(parts = {}) {
  return Object.freeze({ ...PLAIN, ...parts });
}

/** Give what is between two looks, or one alone. @returns {Between} */
export function between(first, other = null, share = 0) {
  return Object.freeze({ look: first, other, share: other ? share : 0 });
}

/** Write it down, the same always in the same words. */
export function written({ look: first, other, share }) {
  const parts = { look: short(first) };
  return JSON.stringify(other ? { ...parts, other: short(other), share: rounded(share) } : parts);
}

/** Read what was written; null where that is none. */
export function read(text) {
  try {
    const { look: first, other, share } = JSON.parse(text);
    return between(checked(first), other ? checked(other) : null, number(share ?? 0, 0, 1));
  } catch {
    return null;
  }
}

/** Give the look without what was done to it. */
export function start({ seed, projection, psi, label, noise }) {
  return look({ seed, projection, psi, label, noise });
}

/** Give the look with a step along a direction; none at 0. */
export function stepped(from, set, index, amount) {
  const others = from.edits.filter((edit) => edit.set !== set || edit.index !== index);
  const edits = rounded(amount) ? [...others, { set, index, amount }] : others;
  edits.sort((a, b) => (a.set === b.set ? a.index - b.index : a.set < b.set ? -1 : 1));
  return look({ ...from, edits });
}

/** How far the look went along a direction. */
export function amountOf({ edits }, set, index) {
  return edits.find((edit) => edit.set === set && edit.index === index)?.amount ?? 0;
}

/** Tell what it is, in a line. */
export function described({ look: first, other, share }) {
  if (other) return `${named(first)} to ${named(other)}, ${Math.round(100 * share)} %`;
  const { psi, mix, edits } = first;
  const parts = [named(first), `ψ ${shown(psi)}`];
  if (mix) parts.push(`mixed with seed ${mix.seed}`);
  if (edits.length) parts.push(edits.length === 1 ? "1 edit" : `${edits.length} edits`);
  return parts.join(", ");
}

/** What a look starts from. */
export function named({ seed, projection }) {
  return projection === null ? `seed ${seed}` : `projection ${projection}`;
}

export function drawSeed() {
  return Math.floor(Math.random() * DRAWN_BELOW);
}

/** Read a seed that somebody typed; null where it is none. */
export function seedOf(text) {
  const said = String(text ?? "").trim();
  const found = Number(said);
  return /^\d+$/.test(said) && found <= LARGEST_SEED ? found : null;
}

/** Read a psi of an address; the usual one where there is none. */
export function psiOf(text) {
  const found = Number.parseFloat(text ?? "");
  return Number.isFinite(found) ? Math.min(1.2, Math.max(0, found)) : USUAL_PSI;
}

export function shown(value) {
  return String(Math.round(100 * value) / 100).replace("-", "−");
}

function rounded(value) {
  return Math.round(value * PRECISE) / PRECISE;
}

function short({ seed, projection, psi, cutoff, label, noise, mix, edits }) {
  const parts = { seed };
  if (projection !== null) parts.projection = projection;
  if (psi !== 1) parts.psi = rounded(psi);
  if (cutoff !== null) parts.cutoff = cutoff;
  if (label !== null) parts.label = label;
  if (noise !== "fixed") parts.noise = noise;
  if (mix) parts.mix = { seed: mix.seed, first: mix.first, last: mix.last };
  if (edits.length) parts.edits = edits.map(({ set, index, amount }) => ({ set, index, amount: rounded(amount) }));
  return parts;
}

/** Links come from anywhere: what is no look is refused. */
function checked({ seed = 0, projection = null, psi = 1, cutoff = null, label = null, noise = "fixed", mix = null, edits = [] }) {
  if (!NOISES.includes(noise) || (projection !== null && typeof projection !== "string")) throw new TypeError("no look");
  return look({
    seed: whole(seed),
    projection,
    psi: number(psi, -4, 4),
    cutoff: cutoff === null ? null : whole(cutoff),
    label: label === null ? null : whole(label),
    noise,
    mix: mix && { seed: whole(mix.seed), first: whole(mix.first), last: whole(mix.last) },
    edits: edits.map(({ set, index, amount }) => ({ set: String(set), index: whole(index), amount: number(amount, -100, 100) })),
  });
}

function whole(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError("no whole number");
  return value;
}

function number(value, least, most) {
  if (!Number.isFinite(value)) throw new TypeError("no number");
  return Math.min(most, Math.max(least, value));
}
