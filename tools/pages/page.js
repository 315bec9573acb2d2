"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const [BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY] = DATA.colours;
const $ = name => document.getElementById(name);
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
const two = value => (Math.round(100 * value + 1e-6) / 100).toFixed(2);  // 0.965 becomes 0.97, as counts do
const percent = (value, digits = 0) => (100 * value).toFixed(digits) + " %";

// A panel with axes: x and y give places in it. ticks: [value, text]; scale: of x, Math.log or the value itself.
function panel({xs, ys, xlabel, ylabel, width = 440, height = 290, scale = value => value}) {
  const left = 52, right = 18, top = 10, bottom = 42;
  const [first, last] = [scale(xs[0][0]), scale(xs[xs.length - 1][0])];
  const [low, high] = [ys[0][0], ys[ys.length - 1][0]];
  const x = value => left + (scale(value) - first) / (last - first) * (width - left - right);
  const y = value => height - bottom - (value - low) / (high - low) * (height - top - bottom);
  let shapes = "";
  for (const [value, text] of ys)
    shapes += `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}"/>
      <text class="soft" x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${text}</text>`;
  for (const [value, text] of xs)
    shapes += `<text class="soft" x="${x(value)}" y="${height - bottom + 16}" text-anchor="middle">${text}</text>`;
  shapes += `<text class="soft" x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">${xlabel}</text>
    <text class="soft" transform="translate(11 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${ylabel}</text>`;
  const line = (points, colour, dash = "", thick = 2.5) => `<polyline fill="none" stroke="${colour}" stroke-width="${thick}"
    stroke-dasharray="${dash}" points="${points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ")}"/>`;
  const band = (points, colour) => `<polygon fill="${colour}" opacity=".22" points="${[
    ...points.map(([a, b]) => [a, b]), ...points.slice().reverse().map(([a, , b]) => [a, b])
  ].map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ")}"/>`;
  const upright = value => `<line x1="${x(value)}" x2="${x(value)}" y1="${top}" y2="${height - bottom}"
    stroke="currentColor" stroke-width="1.2"/>`;
  const dot = (a, b, colour, square, radius = 4) => square
    ? `<rect class="edge" x="${x(a) - radius}" y="${y(b) - radius}" width="${2 * radius}" height="${2 * radius}" fill="${colour}"/>`
    : `<circle class="edge" cx="${x(a)}" cy="${y(b)}" r="${radius}" fill="${colour}"/>`;
  return {x, y, shapes, line, band, upright, dot, view: `0 0 ${width} ${height}`};
}

function draw(name, view, label, shapes) {  // one image to a screen reader, with a sentence that says what it shows
  $(name).innerHTML = `<svg viewBox="${view}" role="img" aria-label="${label}">${shapes}</svg>`;
}

// Sliders, whose state is in the address (#ratio=54&overlap=0.2): a link can point at a setting.
function turn(sliders, update) {
  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const [name, values] of Object.entries(sliders)) {
      if (!asked.has(name) || !Number.isFinite(+asked.get(name))) continue;
      const distances = values.map(value => Math.abs(value - asked.get(name)));
      $(name).value = distances.indexOf(Math.min(...distances));
    }
  };
  const show = () => update(...Object.entries(sliders).map(([name, values]) => values[$(name).value]));
  for (const [name, values] of Object.entries(sliders)) {
    $(name).max = values.length - 1;
    $(name).value = $(name).dataset.start;
    $(name).addEventListener("input", () => {
      show();
      const state = Object.entries(sliders).map(([other, all]) => `${other}=${all[$(other).value]}`).join("&");
      try { history.replaceState(null, "", "#" + state); } catch { /* a page within a page has no address of its own */ }
    });
  }
  addEventListener("hashchange", () => { read(); show(); });
  read();
  show();
}

let spoken;
function say(sentence) {  // shown at once; read out when the slider rests
  $("summary").textContent = sentence;
  clearTimeout(spoken);
  spoken = setTimeout(() => { $("spoken").textContent = sentence; }, 400);
}
