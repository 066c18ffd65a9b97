"use strict";
// All content goes in through textContent: what a model wrote is never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const strips = new Map(Object.entries(data.strips));

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// ---------------------------------------------------------------- charts
for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = data.charts[Number(svg.dataset.chart)];
  const outputs = [...svg.parentNode.querySelectorAll("output")];
  const last = outputs.map((o) => o.textContent);
  const at = svg.parentNode.querySelector(".at");
  const cursor = svg.querySelector(".cursor");
  const leave = () => {
    outputs.forEach((o, i) => { o.textContent = last[i]; });
    at.textContent = "";
    cursor.setAttribute("visibility", "hidden");
  };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("pointermove", (event) => {
    if (!chart.x.length) return;
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    let near = 0;
    chart.x.forEach((value, i) => {
      if (Math.abs(value - x) < Math.abs(chart.x[near] - x)) near = i;
    });
    outputs.forEach((o, i) => { o.textContent = chart.y[i][near]; });
    at.textContent = "step " + chart.step[near];
    cursor.setAttribute("x1", chart.x[near]);
    cursor.setAttribute("x2", chart.x[near]);
    cursor.setAttribute("visibility", "visible");
  });
}

// -------------------------------------------------------------- rollouts
function grade(rollout) {
  if (rollout.unscored !== null) return "unscored";
  return rollout.correct ? "correct" : "wrong";
}

function fixed(value) {
  return value === null ? "–" : String(Math.round(value * 1000) / 1000);
}

function plural(n, noun) {
  return n + " " + noun + (n === 1 ? "" : "s");
}

const FILTERS = {
  all: () => true,
  mixed: (all) => new Set(all.filter((r) => r.value !== null).map((r) => r.value)).size > 1,
  wrong: (all) => !all.some((r) => r.correct),
  correct: (all) => all.every((r) => r.correct),
  unscored: (all) => all.some((r) => r.unscored !== null),
  cut: (all) => all.some((r) => r.stop === "length"),
};

// The response with its tags dimmed and the inside of <answer> emphasised.
function response(text) {
  const pre = make("pre");
  let inAnswer = false;
  for (const piece of text.split(/(<\/?(?:think|answer)>)/)) {
    if (/^<\/?(?:think|answer)>$/.test(piece)) {
      pre.append(make("span", "tag", piece));
      inAnswer = piece === "<answer>";
    } else if (piece) {
      pre.append(inAnswer ? make("span", "answer", piece) : document.createTextNode(piece));
    }
  }
  return pre;
}

function card(rollout) {
  const node = make("div", "rollout " + grade(rollout));
  const head = make("div", "head");
  head.append(make("b", "", rollout.value === null ? "unscored" : "reward " + fixed(rollout.value)));
  if (rollout.advantage !== null) {
    const sign = rollout.advantage > 0 ? "positive" : rollout.advantage < 0 ? "negative" : "muted";
    const text = (rollout.advantage > 0 ? "+" : "") + fixed(rollout.advantage);
    head.append(make("span", sign, "advantage " + text));
  }
  node.append(head);
  const parts = Object.entries(rollout.parts).map(([name, v]) => name + " " + fixed(v));
  parts.push(plural(rollout.length, "token"));
  if (rollout.stop === "length") parts.push("cut off");
  node.append(make("div", "parts", parts.join(" · ")));
  const why = [rollout.unscored && rollout.unscored.replaceAll("_", " "), rollout.detail];
  if (why.some(Boolean)) node.append(make("div", "why", why.filter(Boolean).join(": ")));
  node.append(response(rollout.text));
  return node;
}

function frames(names) {
  const box = make("div");
  for (const name of names) {
    if (strips.has(name)) {
      const image = make("img", "strip");
      image.alt = "frames the model saw, in its order";
      image.src = strips.get(name);
      box.append(image);
    } else {
      box.append(make("p", "muted", "frames not embedded: " + name));
    }
  }
  return box;
}

function tally(rollouts) {
  const scored = rollouts.filter((r) => r.unscored === null);
  const right = scored.filter((r) => r.correct).length;
  const unscored = rollouts.length - scored.length;
  return right + " of " + scored.length + " correct" + (unscored ? ", " + unscored + " unscored" : "");
}

function showGroup(group) {
  const pane = document.getElementById("group");
  pane.replaceChildren();
  const about = [group.id, group.kind, group.source].filter(Boolean).join(" · ");
  pane.append(make("div", "muted", about), make("p", "question", group.question));
  if (group.options.length) {
    const list = make("ul", "options");
    group.options.forEach((option) => list.append(make("li", "", option)));
    pane.append(list);
  }
  const gold = make("div", "", "Gold answer: ");
  gold.append(make("b", "", group.gold));
  pane.append(gold);
  for (const view of group.views) {
    const box = make("div", "view");
    box.append(make("h4", "", view.view + " frames: " + tally(view.rollouts)), frames(view.strips));
    const siblings = make("div", "siblings");
    view.rollouts.forEach((rollout) => siblings.append(card(rollout)));
    box.append(siblings);
    pane.append(box);
  }
}

function entry(group) {
  const button = make("button", "", group.id);
  button.type = "button";
  const chips = make("div", "chips");
  group.views.forEach((view, i) => {
    if (i) chips.append(make("span", "break"));
    view.rollouts.forEach((rollout) => chips.append(make("span", "chip " + grade(rollout))));
  });
  button.append(chips);
  return button;
}

function showStep() {
  const steps = data.runs[runPick.value].steps;
  const groups = steps[stepPick.value].groups;
  const wanted = FILTERS[document.getElementById("pick-groups").value];
  const kept = groups.filter((g) => wanted(g.views.flatMap((v) => v.rollouts)));
  const list = document.getElementById("groups");
  list.replaceChildren();
  document.getElementById("group").replaceChildren();
  document.getElementById("shown").textContent =
    kept.length + " of " + plural(groups.length, "group") + "; squares are rollouts, by view";
  for (const group of kept) {
    const item = make("li");
    const button = entry(group);
    button.addEventListener("click", () => {
      list.querySelectorAll("button").forEach((b) => b.removeAttribute("aria-current"));
      button.setAttribute("aria-current", "true");
      showGroup(group);
    });
    item.append(button);
    list.append(item);
  }
  const first = list.querySelector("button");
  if (first) first.click();
}

function fill(select, labels, chosen) {
  select.replaceChildren();
  labels.forEach((label, i) => {
    const option = make("option", "", label);
    option.value = i;
    select.append(option);
  });
  select.value = chosen;
}

function showRun() {
  const steps = data.runs[runPick.value].steps;
  fill(stepPick, steps.map((s) => s.step), steps.length - 1);
  showStep();
}

const runPick = document.getElementById("pick-run");
const stepPick = document.getElementById("pick-step");
if (runPick) {
  fill(runPick, data.runs.map((run) => run.name), data.runs.length - 1);
  runPick.addEventListener("change", showRun);
  stepPick.addEventListener("change", showStep);
  document.getElementById("pick-groups").addEventListener("change", showStep);
  document.getElementById("controls").addEventListener("submit", (e) => e.preventDefault());
  showRun();
}
