// Draws a plot when it comes near to the window, and all of them before the page is printed, in the
// colours of the page.
"use strict";
const options = {
  responsive: true, displaylogo: false, showSendToCloud: false, showEditInChartStudio: false,
  modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d", "autoScale2d"],
};
const page = getComputedStyle(document.body);
const plots = [...document.querySelectorAll(".plot")];
const drawn = (plot) => plot.classList.contains("js-plotly-plot");

function draw(plot) {
  near.unobserve(plot);
  const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
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
