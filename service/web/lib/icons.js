// The icons: paths of a grid of 24, drawn as lines.
import { s } from "./dom.js";

const PATHS = {
  home: "M4 11l8-7 8 7v9h-6v-6h-4v6H4z",
  coins: "M5 7c0-4 14-4 14 0s-14 4-14 0v10c0 4 14 4 14 0V7M5 12c0 4 14 4 14 0",
  history: "M4 5v5h5M4.6 10A8 8 0 1 1 4 13M12 8v5l3 2",
  rows: "M4 5h16v14H4zM4 10h16M4 14.500h16M10 10v9",
  gear: "M12 9a3 3 0 1 0 0 6a3 3 0 1 0 0-6M12 3v3M12 18v3M3 12h3M18 12h3M5.600 5.600l2 2M16.400 16.400l2 2M5.600 18.400l2-2M16.400 7.600l2-2",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  book: "M6 4h12v16H7.500A1.500 1.500 0 0 1 6 18.500zM6 18.500A1.500 1.500 0 0 1 7.500 17H18",
  moon: "M20 14A8 8 0 1 1 10 4a6.500 6.500 0 0 0 10 10z",
  leave: "M10 4H5v16h5M9 12h11M16 8l4 4-4 4",
  more: "M5 11a1 1 0 1 0 0 2a1 1 0 1 0 0-2M12 11a1 1 0 1 0 0 2a1 1 0 1 0 0-2M19 11a1 1 0 1 0 0 2a1 1 0 1 0 0-2",
  updown: "M8 10l4-4 4 4M8 14l4 4 4-4",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  clock: "M12 3.500a8.500 8.500 0 1 0 0 17a8.500 8.500 0 1 0 0-17M12 7.500V12l3 2",
  sync: "M19 8a8 8 0 0 0-14 1M5 16a8 8 0 0 0 14-1M20 4v5h-5M4 20v-5h5",
  unlink: "M9 7l1-1a4 4 0 0 1 7 5l-1 1M15 17l-1 1a4 4 0 0 1-7-5l1-1M4 4l16 16",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  done: "M12 3.500a8.500 8.500 0 1 0 0 17a8.500 8.500 0 1 0 0-17M8 12.200l2.800 2.800L16 9.500",
  warn: "M12 4l9 16H3zM12 10v4.500M12 17.300v.01",
  fail: "M12 3.500a8.500 8.500 0 1 0 0 17a8.500 8.500 0 1 0 0-17M12 8v5M12 16v.01",
  info: "M12 3.500a8.500 8.500 0 1 0 0 17a8.500 8.500 0 1 0 0-17M12 11v5M12 8v.01",
  offline: "M3 9a13 13 0 0 1 18 0M7 13a8 8 0 0 1 10 0M12 18v.01M4 4l16 16",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13a6.500 6.500 0 1 0 0-13M15.500 15.500L20 20",
  download: "M12 4v11M7.500 11l4.500 4.500 4.500-4.500M5 20h14",
  tag: "M4 4h8l8 8-8 8-8-8zM8 8h.01",
  shield: "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM9 12l2 2 4-4",
  key: "M8 11a4 4 0 1 0 0 6a4 4 0 0 0 0-6M11 13l8-8M16 8l3 3",
  chart: "M5 20V11M12 20V5M19 20v-7M3 20h18",
  down: "M6 9l6 6 6-6",
  box: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
};

/** An icon beside text, hidden from screen readers. */
export const icon = (name, look = "") =>
  s("svg", { class: `icon ${look}`.trim(), viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));
