"use strict";
window.addEventListener("DOMContentLoaded", () => {
  for (const source of document.querySelectorAll("script[data-plot]")) {
    const target = document.getElementById(source.dataset.plot);
    const figure = JSON.parse(source.textContent);
    const narrow = target.clientWidth < 520;
    if (narrow && figure.layout.meta && figure.layout.meta.narrow) Object.assign(figure.layout, figure.layout.meta.narrow);
    Plotly.newPlot(target, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
});
