// The look of <seller-sync>. Every colour can be replaced by a custom property of its host; both
// schemes keep a contrast of 4.5 to 1 for words and of 3 to 1 for bars and edges.

const COLOURS = {
  card: ["#ffffff", "#13161c"], sunken: ["#f3f4f7", "#191d25"], line: ["#e4e7ec", "#262b35"],
  field: ["#858d9d", "#6c7588"], track: ["#e6e9ee", "#2a303b"],
  ink: ["#11141b", "#eef0f4"], muted: ["#454d5d", "#b6bdca"],
  accent: ["#3a55e3", "#7c92ff"], button: ["#3a55e3", "#4459e6"], "on-button": ["#ffffff", "#ffffff"],
  good: ["#0a6b43", "#62d6a2"], "good-soft": ["#e2f4eb", "#0f2a1f"],
  warn: ["#7b4a00", "#f0bd68"], "warn-soft": ["#fdf2de", "#2e2311"],
  bad: ["#a71e2d", "#ff9ba5"], "bad-soft": ["#fdebed", "#351b1f"],
  run: ["#2e45c7", "#a3b4ff"], "run-soft": ["#ebefff", "#1b2242"],
  calm: ["#474f5f", "#b6bdca"], "calm-soft": ["#edeff3", "#232934"],
};

const colours = Object.entries(COLOURS)
  .map(([name, [light, dark]]) => `--${name}: var(--seller-sync-${name}, light-dark(${light}, ${dark}));`)
  .join("\n");

const CSS = `
:host {
  ${colours}
  display: block;
  color: var(--ink);
  font: 0.875rem/1.5 var(--seller-sync-font, system-ui, sans-serif);
  font-variant-numeric: tabular-nums;
  text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([theme="auto"]) { color-scheme: light dark; }
* { box-sizing: border-box; }
.box { display: grid; gap: 12px; }
.card {
  background: var(--card); border: 1px solid var(--line);
  border-radius: var(--seller-sync-radius, 12px); padding: 16px; min-width: 0;
}
h2 { font-size: 1rem; line-height: 1.3; margin: 0 0 8px; }
p, ul { margin: 0; }
ul { list-style: none; padding: 0; }
li { border-top: 1px solid var(--line); padding: 8px 0; }
li:first-child { border-top: 0; }
li:last-child { padding-bottom: 0; }
.row { align-items: center; display: flex; flex-wrap: wrap; gap: 4px 12px; }
.grow { flex: 1 1 12rem; min-width: 0; overflow-wrap: anywhere; }
.muted { color: var(--muted); }
.small { font-size: 0.8125rem; }
.small:last-child { margin-top: 4px; }
.figure { font-size: 1.75rem; font-weight: 600; line-height: 1.2; }
.badge { border-radius: 999px; font-size: 0.75rem; font-weight: 600; padding: 2px 8px; white-space: nowrap; }
.run { background: var(--run-soft); color: var(--run); }
.good { background: var(--good-soft); color: var(--good); }
.warn { background: var(--warn-soft); color: var(--warn); }
.bad { background: var(--bad-soft); color: var(--bad); }
.calm { background: var(--calm-soft); color: var(--calm); }
.banner { border-radius: 8px; padding: 8px 12px; }
.problem { color: var(--bad); }
button, .button, select {
  border: 1px solid var(--field); border-radius: 8px; color: var(--ink); background: var(--card);
  cursor: pointer; display: inline-block; font: inherit; font-weight: 600; min-height: 36px;
  padding: 6px 14px; text-decoration: none;
}
select { font-weight: 400; }
.first { background: var(--button); border-color: var(--button); color: var(--on-button); }
button:disabled, .button[aria-disabled="true"] {
  background: var(--sunken); border-color: var(--line); color: var(--muted); cursor: default;
}
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
progress {
  appearance: none; background: var(--track); border: 0; border-radius: 999px; display: block;
  height: 8px; margin: 8px 0; overflow: hidden; width: 100%;
}
progress::-webkit-progress-bar { background: var(--track); }
progress::-webkit-progress-value { background: var(--accent); border-radius: 999px; transition: width 0.6s; }
progress::-moz-progress-bar { background: var(--accent); }
.done progress::-webkit-progress-value { background: var(--good); }
.done progress::-moz-progress-bar { background: var(--good); }
.waiting progress::-webkit-progress-value { background: var(--calm); }
.stale { filter: grayscale(1); }
.stale progress::-webkit-progress-value { transition: none; }
.spoken { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; white-space: nowrap; width: 1px; }
@media (pointer: coarse) { button, .button, select { min-height: 44px; } }
@media (prefers-reduced-motion: reduce) { progress::-webkit-progress-value { transition: none; } }
`;

/** One sheet for all elements of a page. Made by script, it needs no style-src of the page. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);
