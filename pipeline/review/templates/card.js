"use strict";
/* What changes when the outcomes are weighed anew? Ranks, intervals, ties and reasons, by the rules of
   pipeline/ranker.py and pipeline/explain.py, from the numbers that this page holds. Nothing is fetched or sent. */

const NOWHERE = 1e-12, AGREED = 1e-6, MINUS = "\u2212";

/* --- numbers: what Python computes */

function weighed(card, weights) {
  const used = weights.some((weight) => weight > 0) ? weights : card.outcomes.map((outcome) => outcome.fallback);
  const total = Math.max(used.reduce((sum, weight) => sum + weight, 0), NOWHERE);
  const share = used.map((weight) => weight / total), last = share.length - 1;
  const signed = share.slice(0, last).map((part, k) => part * card.outcomes[k].sign);
  const dot = (values) => values.reduce((sum, value, k) => sum + value * signed[k], 0);
  const deviations = card.root.map((arms) => arms.map(dot));
  const places = card.modalities.map((modality) => {
    if (!("arm" in modality)) return { modality, suitability: null };
    const suitability = dot(modality.outcomes) - share[last] * modality.burden;
    const half = width(card, deviations.map((row) => row[modality.arm]));
    return { modality, suitability, low: suitability - half, high: suitability + half };
  });
  const modelled = places.filter((place) => place.suitability !== null);
  const ranked = modelled.filter((place) => place.modality.ranked);
  const better = (a, b) => a.suitability - b.suitability > gapWidth(card, deviations, a, b);
  for (const place of modelled) {
    place.modelRank = 1 + modelled.filter((other) => better(other, place)).length;
    const explained = place.modality;
    place.baseline = dot(explained.baseline);
    place.contributions = explained.contributions[0].map((_, feature) =>
      dot(explained.contributions.map((target) => target[feature])));
    place.burden = -share[last] * explained.burden;
  }
  for (const place of ranked) place.rank = 1 + ranked.filter((other) => better(other, place)).length;
  for (const place of ranked) {
    place.tied = ranked.filter((other) => other !== place && !better(other, place) && !better(place, other))
      .sort((a, b) => a.modality.arm - b.modality.arm);
    place.status = ranked.some((other) => other !== place && other.rank === place.rank) ? "tied" : "ranked";
  }
  return { share, deviations, places: places.sort(displayed) };
}

function width(card, deviations) {
  return card.quantile * Math.sqrt(deviations.reduce((sum, value) => sum + value * value, 0));
}

function gapWidth(card, deviations, a, b) {
  return width(card, deviations.map((row) => row[a.modality.arm] - row[b.modality.arm]));
}

function displayed(a, b) {
  const rank = (place) => place.rank ?? Infinity, value = (place) => place.suitability ?? 0;
  const nearness = (place) => (place.modality.ranked ? 0 : place.modality.nearness);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (nearness(a) !== nearness(b)) return nearness(a) - nearness(b);
  if (value(a) !== value(b)) return value(b) - value(a);
  return a.modality.name < b.modality.name ? -1 : 1;
}

function largest(card, own, burden) {
  const order = own.map((_, feature) => feature).sort((a, b) => Math.abs(own[b]) - Math.abs(own[a]) || a - b);
  const chosen = order.slice(0, card.named).filter((feature) => own[feature] !== 0), named = new Set(chosen);
  const rest = own.reduce((sum, value, feature) => (named.has(feature) ? sum : sum + value), 0);
  return [
    ...chosen.map((feature) => ({ fact: feature, contribution: own[feature] })),
    { fact: own.length, contribution: burden },
    { fact: own.length + 1, contribution: rest },
  ];
}

function reasons(card, place) {
  return largest(card, place.contributions, place.burden);
}

function contrast(card, a, b) {
  const gap = a.contributions.map((value, feature) => value - b.contributions[feature]);
  const average = { fact: gap.length + 2, contribution: a.baseline - b.baseline };
  return [average, ...largest(card, gap, a.burden - b.burden)];
}

function total(items) {
  return items.reduce((sum, item) => sum + item.contribution, 0);
}

/* --- words: as pipeline/review/numerals.py and wording.py write them */

function decimal(value, digits = 2) {
  const size = Math.abs(value), whole = size.toFixed(Math.min(100, digits + 60));
  const rest = whole.slice(whole.indexOf(".") + 1 + digits);
  let text = size.toFixed(digits);
  if (/^50*$/.test(rest)) {  // exactly half way: to the even neighbour
    const below = whole.slice(0, whole.indexOf(".") + 1 + digits);
    if (Number(below[below.length - 1]) % 2 === 0) text = below;
  }
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

function signed(value, digits = 2) {
  const text = decimal(value, digits);
  return text.startsWith(MINUS) || Number(text) === 0 ? text : "+" + text;
}

function ordinal(place) {
  if ([11, 12, 13].includes(place % 100)) return place + "th";
  return place + ({ 1: "st", 2: "nd", 3: "rd" }[place % 10] || "th");
}

function listed(words) {
  return words.length < 2 ? words.join("") : words.slice(0, -1).join(", ") + " and " + words[words.length - 1];
}

function labels(places) {
  return listed(places.map((place) => place.modality.label));
}

function headline(places) {
  const first = places.filter((place) => place.rank === 1);
  if (!first.length) return "No modality could be ranked for this patient.";
  if (first.length === 1) return `${labels(first)} comes first.`;
  return `${labels(first)} share the first place: the records cannot tell them apart for this patient.`;
}

function sentence(place) {
  if (place.status === "tied") return `${ordinal(place.rank)}, tied with ${labels(place.tied) || "another modality"}`;
  return ordinal(place.rank) + (place.tied.length ? `; not clearly different from ${labels(place.tied)}` : "");
}

function agreement(wanted, found) {
  return Math.abs(wanted - found) <= AGREED ? "" : " These numbers do not add up; do not rely on the reasons.";
}

function reasonsLine(place, items) {
  return `Baseline ${signed(place.baseline, 3)}, reasons ${signed(total(items), 3)}: ` +
    `suitability ${signed(place.suitability, 3)}.` + agreement(place.suitability, place.baseline + total(items));
}

function contrastLine(a, b, items) {
  const gap = a.suitability - b.suitability;
  return `${decimal(a.suitability, 3)} against ${decimal(b.suitability, 3)}: a gap of ${signed(gap, 3)}; ` +
    `the items add up to ${signed(total(items), 3)}.` + agreement(gap, total(items));
}

function gapLine(card, state, a, b) {
  const gap = a.suitability - b.suitability, half = gapWidth(card, state.deviations, a, b);
  const told = gap > half ? `${a.modality.label} is clearly better` :
    -gap > half ? `${b.modality.label} is clearly better` : "they are not clearly different";
  return `The ${card.level} interval of the gap is ${signed(gap - half, 3)} to ${signed(gap + half, 3)}: ${told}` +
    ` with these weights. The rules are not part of this comparison.`;
}

/* --- drawing */

const SVG = document.querySelector("svg").namespaceURI;

function element(name, attributes, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function percent(value) {
  return String(Math.round(100 * value) / 100) + "%";
}

function strip(title, height, ...parts) {
  const frame = { class: "drawing strip", role: "img", "aria-label": title, width: "100%", height, focusable: "false" };
  return element("svg:svg", frame, element("svg:title", {}, title), ...parts);
}

function line(x1, y1, x2, y2, style) {
  return element("svg:line", { x1: percent(x1), y1, x2: percent(x2), y2, class: style });
}

function scaleOver(values) {
  const known = values.length ? values : [0, 1];
  let low = Math.min(...known), high = Math.max(...known);
  const reach = high - low || Math.max(Math.abs(high), 1) * 0.2;
  if (high <= low) [low, high] = [low - reach / 2, high + reach / 2];
  const rough = reach / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((lead) => power * lead).find((size) => size >= rough * 0.999);
  [low, high] = [low - 0.06 * reach, high + 0.06 * reach];
  const ticks = [];
  for (let k = Math.ceil(low / step); k <= Math.floor(high / step); k += 1) ticks.push(step * k);
  return { ticks, at: (value) => Math.min(100, Math.max(0, (100 * (value - low)) / (high - low))) };
}

function axisParts(scale) {
  const parts = [line(0, 2, 100, 2, "axis")];
  for (const tick of scale.ticks) {
    const at = scale.at(tick), anchor = at < 4 ? "start" : at > 96 ? "end" : "middle";
    const told = String(Number(tick.toPrecision(3))).replace("-", MINUS);
    parts.push(element("svg:text", { x: percent(at), y: 18, class: "tick", "text-anchor": anchor }, told));
  }
  const axis = "suitability, higher is better";
  return [...parts, element("svg:text", { x: "0%", y: 36, class: "axis-title" }, axis)];
}

function estimate(place, scale) {
  const tone = place.modality.ranked ? "main" : "quiet", y = 14;
  const interval = `${decimal(place.low)} to ${decimal(place.high)}`;
  return strip(
    `${place.modality.label}: suitability ${decimal(place.suitability)}, interval ${interval}`, 28,
    line(0, y, 100, y, "track"), line(scale.at(place.low), y, scale.at(place.high), y, `interval ${tone}`),
    element("svg:circle", { cx: percent(scale.at(place.suitability)), cy: y, r: 6, class: `point ${tone}` }));
}

function bar(value, most) {
  const reach = 50 * Math.min(1, Math.abs(value) / (most || 1)), start = value >= 0 ? 50 : 50 - reach;
  const shape = { x: percent(start), y: 5, width: percent(reach), height: 12, class: value >= 0 ? "gain" : "loss" };
  return strip(`Contribution ${signed(value, 3)}`, 22,
    line(0, 11, 100, 11, "track"), element("svg:rect", shape), line(50, 0, 50, 22, "axis"));
}

function itemRow(card, item, most) {
  const [label, detail] = card.facts[item.fact];
  const head = element("th", { scope: "row", role: "rowheader" }, element("span", { class: "text" }, label));
  if (detail) head.append(element("span", { class: "detail" }, detail));
  return element("tr", { role: "row", "data-contribution": item.contribution }, head,
    element("td", { role: "cell", class: "picture bare", "data-label": "Lowers \u00b7 raises" }, bar(item.contribution, most)),
    element("td", { role: "cell", class: "number", "data-label": "Contribution" },
      element("span", { class: "text" }, signed(item.contribution, 3))));
}

function fill(card, home, items, most, told) {
  home.querySelector("tbody").replaceChildren(...items.map((item) => itemRow(card, item, most)));
  const sum = home.querySelector(".sum");
  sum.textContent = told;
  sum.classList.toggle("warn", told.includes("do not add up"));
}

function mostOf(lists) {
  return Math.max(0, ...lists.flat().map((item) => Math.abs(item.contribution)));
}

/* --- the page */

function start(card) {
  const find = (id) => document.getElementById(id);
  const recorded = card.outcomes.map((outcome) => outcome.weight);
  const sum = recorded.reduce((a, b) => a + b, 0) || 1, before = weighed(card, recorded);
  const sliders = card.outcomes.map((outcome) => find(`weight-${outcome.name}`));
  const pair = [find("compare-first"), find("compare-second")], chosen = pair.map((select) => select.value);
  const comparable = pair[0].options.length > 1;
  let weights = recorded.slice(), order = before.places.map((place) => place.modality.name).join();

  function isRecorded() {
    return weights.every((weight, k) => weight === recorded[k]);
  }

  function showOrder(state) {
    const modelled = state.places.filter((place) => place.suitability !== null);
    const scale = scaleOver(modelled.flatMap((place) => [place.suitability, place.low, place.high]));
    const list = find("places"), rows = new Map([...list.children].map((row) => [row.dataset.modality, row]));
    for (const place of state.places) {
      const row = rows.get(place.modality.name);
      list.insertBefore(row, list.lastElementChild);
      if (place.suitability === null) continue;
      for (const name of ["suitability", "low", "high"]) row.dataset[name] = place[name];
      row.querySelector(".strip-cell").replaceChildren(estimate(place, scale));
      row.querySelector(".value strong").textContent = decimal(place.suitability);
      row.querySelector(".value span").textContent = `${decimal(place.low)} to ${decimal(place.high)}`;
      showPlace(row, place);
    }
    const axis = list.lastElementChild.querySelector("svg");
    axis.replaceChildren(axis.querySelector("title"), ...axisParts(scale));
  }

  function showPlace(row, place) {
    if (!place.modality.ranked) {
      const aside = row.querySelector(".aside");
      if (aside) aside.textContent = card.before.replace("{}", ordinal(place.modelRank));
      return;
    }
    Object.assign(row.dataset, { rank: place.rank, status: place.status });
    row.dataset.tied = place.tied.map((other) => other.modality.name).join();
    row.querySelector(".rank").lastChild.textContent = place.rank;
    row.querySelector(".sentence").textContent = sentence(place);
    const was = before.places.find((other) => other.modality === place.modality), note = row.querySelector(".was");
    note.hidden = was.rank === place.rank;
    note.textContent = note.hidden ? "" : `With the recorded weights: ${ordinal(was.rank)}.`;
  }

  function showReasons(state) {
    const home = find("reasons"), blocks = new Map([...home.children].map((block) => [block.dataset.modality, block]));
    const told = state.places.filter((place) => blocks.has(place.modality.name) && place.suitability !== null);
    const lists = told.map((place) => reasons(card, place)), most = mostOf(lists);
    told.forEach((place, k) => {
      const block = blocks.get(place.modality.name);
      home.append(block);
      fill(card, block, lists[k], most, reasonsLine(place, lists[k]));
    });
  }

  function showNeighbours(state) {
    const ranked = state.places.filter((place) => place.rank), home = find("neighbours");
    const pairs = ranked.slice(1).map((second, k) => [ranked[k], second]);
    const lists = pairs.map(([a, b]) => contrast(card, a, b)), most = mostOf(lists);
    const blocks = [...home.children].filter((block) => block.matches("details"));
    pairs.slice(0, blocks.length).forEach(([a, b], k) => {
      blocks[k].dataset.pair = [a, b].map((place) => place.modality.name).join();
      blocks[k].querySelector("h3").textContent = `${a.modality.label} rather than ${b.modality.label}`;
      fill(card, blocks[k], lists[k], most, contrastLine(a, b, lists[k]));
    });
  }

  function showPair(state) {
    if (!comparable) return;
    const [a, b] = pair.map((select) => state.places.find((place) => place.modality.name === select.value));
    const home = find("comparison"), items = contrast(card, a, b), gap = a.suitability - b.suitability;
    home.querySelector("h3").textContent = `${a.modality.label} rather than ${b.modality.label}`;
    home.querySelector(".gap").textContent = gapLine(card, state, a, b);
    Object.assign(home.dataset, { gap, half: gapWidth(card, state.deviations, a, b) });
    fill(card, home, items, mostOf([items]), contrastLine(a, b, items));
  }

  function showWeights(state) {
    const shares = state.share.map((share) => `${decimal(100 * share, 0)}%`);
    sliders.forEach((slider, k) => {
      slider.value = (100 * weights[k]) / sum;
      slider.setAttribute("aria-valuetext", `${shares[k]} of the whole`);
      find(`share-${card.outcomes[k].name}`).textContent = shares[k];
    });
    const changed = !isRecorded(), note = find("reweighed");
    find("reset-weights").disabled = !changed;
    note.hidden = !changed;
    const told = card.outcomes.map((outcome, k) => `${outcome.label} ${shares[k]}`).join(", ");
    const nothing = weights.some((weight) => weight > 0) ? "" : " All weights are 0, so the usual ones count.";
    note.querySelector("span").textContent = changed ? `Weighed anew on this page: ${told}.${nothing}` : "";
  }

  function say(state) {
    const ranked = state.places.filter((place) => place.rank);
    const told = ranked.map((place) => `${place.rank} ${place.modality.label}`).join(" \u00b7 ");
    const home = find("standing"), text = told ? `Order now: ${told}` : headline(state.places);
    if (home.textContent !== text) home.textContent = text;
  }

  function show() {
    const state = weighed(card, weights), now = state.places.map((place) => place.modality.name).join();
    find("headline").textContent = headline(state.places);
    showWeights(state);
    showOrder(state);
    showReasons(state);
    showNeighbours(state);
    showPair(state);
    say(state);
    if (now !== order) for (const id of ["reasons", "neighbours"]) find(id).querySelector("details")?.setAttribute("open", "");
    order = now;
  }

  function keep() {
    const parts = isRecorded() ? [] : [`w=${weights.join()}`];
    if (pair.some((select, k) => select.value !== chosen[k])) parts.push(`pair=${pair.map((select) => select.selectedIndex).join()}`);
    history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
  }

  function recall() {
    const parts = new URLSearchParams(location.hash.slice(1)), own = parts.get("w")?.split(",").map(Number);
    if (own?.length === recorded.length && own.every((weight) => Number.isFinite(weight) && weight >= 0)) weights = own;
    const places = parts.get("pair")?.split(",").map(Number);
    if (places?.length === 2 && places[0] !== places[1] && places.every((at) => at in pair[0].options)) {
      pair.forEach((select, k) => { select.selectedIndex = places[k]; });
    }
    pair.forEach((select) => { select.dataset.last = select.value; });
  }

  sliders.forEach((slider, k) => slider.addEventListener("input", () => {
    weights[k] = Number(((Number(slider.value) * sum) / 100).toPrecision(6));
    show();
  }));
  sliders.forEach((slider) => slider.addEventListener("change", keep));
  find("reset-weights").addEventListener("click", () => {
    weights = recorded.slice();
    show();
    keep();
    sliders[0].focus();
  });
  pair.forEach((select, k) => select.addEventListener("change", () => {
    const other = pair[1 - k];
    if (other.value === select.value) other.value = select.dataset.last;
    pair.forEach((each) => { each.dataset.last = each.value; });
    show();
    keep();
  }));
  window.addEventListener("hashchange", () => { recall(); show(); });
  recall();
  find("preferences").hidden = false;
  find("compare").hidden = !comparable;
  show();
}

const held = document.getElementById("weighing");
if (held) start(JSON.parse(held.textContent));
