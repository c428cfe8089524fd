// Draws a plot when it comes near to the window, and all of them before the page is printed, in the
// colours of the page.
"use strict";
const options = {
  responsive: true, displaylogo: false, showSendToCloud: false, showEditInChartStudio: false,
  modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d", "autoScale2d"],
};
const AXIS = {
  gridcolor: "rgba(128, 128, 128, 0.3)", zerolinecolor: "rgba(128, 128, 128, 0.3)", linecolor: "rgba(128, 128, 128, 0.3)",
  exponentformat: "power",
};
const NARROW = { colorbar: { thickness: 12, title: { side: "right" } } };
const LOOK = {
  layout: {
    colorway: ["#4a84dd", "#d9743a"], legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    margin: { t: 40, r: 40, b: 50, l: 60 }, xaxis: AXIS, yaxis: AXIS,
  },
  data: {
    bar: [{ marker: { line: { width: 0 } } }], contour: [NARROW], parcoords: [{ line: NARROW }], scatter: [{ marker: NARROW }],
  },
};
const SHADES = [[0, "#9dbde8"], [1, "#0c3573"]];  // from the first trial to the last
const STATES = { COMPLETE: "#4a84dd", FAIL: "#d64545" };
const NAMED = ["importance", "slices", "contour", "rank"];  // whose axes may have long names for values
const page = getComputedStyle(document.body);
const plots = [...document.querySelectorAll(".plot")];
const drawn = (plot) => plot.classList.contains("js-plotly-plot");

// Change what a mapping has by what another has, also in the mappings within.
function merge(base, changes) {
  for (const [key, value] of Object.entries(changes)) {
    const isDeep = typeof value === "object" && typeof (value[0] ?? {}) === "object";
    base[key] = isDeep && base[key] ? merge(base[key], value) : value;
  }
  return base;
}
// Give one of Optuna's plots the look of the page.
function style(name, data, layout) {
  merge(layout.template, LOOK);
  layout.plot_bgcolor = "rgba(0, 0, 0, 0)";
  delete layout.title;
  delete layout.width;
  for (const annotation of layout.annotations ?? []) delete annotation.font?.color;
  const counting = { history: "xaxis", timeline: "yaxis" }[name];  // the axis of whole trials
  const trials = (counting === "xaxis" ? data.slice(0, 1) : data).reduce((count, trace) => count + trace.y?.length, 0);
  for (const key of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    const axis = layout[key];
    axis.automargin = NAMED.includes(name);
    if (key === counting && trials < 8) axis.dtick = 1;  // or Plotly would mark half a trial
    if (name === "slices" && key[0] === "x") Object.assign(axis, { nticks: 4 }, axis.type === "log" && { dtick: 1 });
  }
  if (name === "parallel") layout.margin = { b: 90 };  // for names that a narrow page turns
  if (name === "slices") for (const trace of data) trace.marker.colorscale = SHADES;
  if (name === "timeline") for (const trace of data) trace.marker.color = STATES[trace.name];
}
function draw(plot) {
  near.unobserve(plot);
  const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
  style(plot.closest("section").getAttribute("aria-labelledby"), data, layout);
  layout.font = { color: page.color, family: page.fontFamily };
  layout.paper_bgcolor = page.backgroundColor;
  return Plotly.newPlot(plot, data, layout, options);
}
function restyle(change) {
  for (const plot of plots.filter(drawn)) {
    Plotly.relayout(plot, { "font.color": page.color, paper_bgcolor: page.backgroundColor, ...change });
  }
}

const near = new IntersectionObserver(
  (seen) => seen.filter((each) => each.isIntersecting).forEach((each) => draw(each.target)),
  { rootMargin: "50%" },
);
plots.forEach((plot) => near.observe(plot));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => restyle({}));
addEventListener("beforeprint", () => {
  plots.filter((plot) => !drawn(plot)).forEach(draw);
  restyle({ width: 680, "font.color": "#000", paper_bgcolor: "#fff" });
});
addEventListener("afterprint", () => restyle({ width: undefined, autosize: true }));
