"use strict";
(() => {
  // What the checkpoint says goes into the page as text only, never as markup.
  const data = JSON.parse(document.getElementById("data").textContent);
  const FIELDS = ["name", "dtype", "shape", "nbytes", "count", "min", "max", "mean", "std",
    "nans", "infs", "zeros", "bins"];
  const ROW = 26; // pixels, as in the style sheet
  const DEPTH = 100; // as fastckpt.tree
  const BOXES = 300; // of one folder
  const MOST_BOXES = 1500;
  const $ = (id) => document.getElementById(id);

  function make(tag, { text, children = [], ...options } = {}) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(options)) {
      if (key === "class") element.className = value;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    }
    if (text !== undefined) element.textContent = text;
    element.append(...children);
    return element;
  }

  // ---- Words

  const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

  function printable(name) { // what cannot be seen, or turns other text around, is spelled out
    return name.replace(HIDDEN, (c) => {
      const code = c.charCodeAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) return "\\x" + (code - 0xdc00).toString(16);
      return "\\u" + code.toString(16).padStart(4, "0");
    });
  }

  function spellSize(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let i = 0;
    while (bytes >= 1023.95 && i < units.length - 1) { bytes /= 1024; i++; }
    return i ? `${bytes.toFixed(1)} ${units[i]}` : `${bytes} B`;
  }

  function spellNumber(value) {
    if (value === null) return "–";
    if (typeof value === "string") return value; // an integer that JavaScript cannot hold
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
    if (Math.abs(value) < 1e-4) return value.toExponential(5).replace(/\.?0+e/, "e");
    return String(Number(value.toPrecision(6)));
  }

  const spellShape = (shape) => (shape.length ? shape.join(" × ") : "scalar");
  const plural = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

  // ---- Tensors and the tree of their names

  const tensors = data.tensors.map((row) =>
    Object.fromEntries(FIELDS.map((field, i) => [field, row[i]])));
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const changes = new Map();

  function makeNode(name, parent) {
    const depth = parent ? parent.depth + 1 : -1;
    return { name, parent, depth, children: new Map(), tensor: null, nbytes: 0, count: 0,
      broken: 0, isOpen: false, colours: new Map() };
  }

  function addTo(node, tensor) {
    node.nbytes += tensor.nbytes;
    node.count += 1;
    if (isBroken(tensor)) node.broken += 1;
    node.colours.set(tensor.dtype, (node.colours.get(tensor.dtype) || 0) + tensor.nbytes);
  }

  function split(name) {
    const parts = name.split("/");
    return parts.length <= DEPTH ? parts
      : [...parts.slice(0, DEPTH), parts.slice(DEPTH).join("/")];
  }

  const isBroken = (tensor) => tensor.nans + tensor.infs > 0;

  function buildTree() {
    const root = makeNode("", null);
    for (const tensor of tensors) {
      let node = root;
      addTo(node, tensor);
      for (const part of split(tensor.name)) {
        if (!node.children.has(part)) node.children.set(part, makeNode(part, node));
        node = node.children.get(part);
        addTo(node, tensor);
      }
      node.tensor = tensor;
    }
    root.isOpen = true;
    return root;
  }

  const root = buildTree();
  const colours = new Map(data.dtypes.map((dtype, i) => [i, `d${Math.min(i, 7)}`]));

  function colourOf(node) { // that of the dtype with the most bytes
    let best = 0;
    let most = -1;
    for (const [dtype, bytes] of node.colours) if (bytes > most) [best, most] = [dtype, bytes];
    return colours.get(best);
  }

  function pathOf(node) {
    const parts = [];
    for (let at = node; at.parent; at = at.parent) parts.unshift(at.name);
    return parts.join("/");
  }

  // ---- A list of which only the rows in sight are in the page

  class Rows {
    constructor(box, draw) {
      this.box = box;
      this.draw = draw;
      this.items = [];
      this.active = 0;
      box.addEventListener("scroll", () => this.render());
      new ResizeObserver(() => this.render()).observe(box);
    }

    set(items, active = 0) {
      this.items = items;
      this.active = Math.max(0, Math.min(active, items.length - 1));
      this.box.querySelector(".spacer").style.height = `${items.length * ROW}px`;
      this.render();
    }

    render() {
      const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 5);
      const count = Math.ceil(this.box.clientHeight / ROW) + 10;
      for (const row of this.box.querySelectorAll(".row")) row.remove();
      this.items.slice(first, first + count).forEach((item, i) => {
        const row = this.draw(item, first + i);
        row.classList.add("row");
        row.id = `${this.box.id}-${first + i}`;
        row.style.top = `${(first + i) * ROW}px`;
        row.classList.toggle("active", first + i === this.active);
        this.box.append(row);
      });
      if (this.items.length) {
        this.box.setAttribute("aria-activedescendant", `${this.box.id}-${this.active}`);
      }
    }

    move(to) {
      this.active = Math.max(0, Math.min(to, this.items.length - 1));
      const top = this.active * ROW;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      const bottom = top + ROW - this.box.clientHeight;
      if (bottom > this.box.scrollTop) this.box.scrollTop = bottom;
      this.render();
    }

    key(event) { // true if it was one that moves
      const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
        Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return false;
      this.move(this.active + steps[event.key]);
      event.preventDefault();
      return true;
    }
  }

  // ---- The tree, and what a search finds

  let chosen = null;
  let query = "";
  const rows = new Rows($("tree"), drawNode);

  function drawNode(node, index) {
    const isFolder = node.children.size > 0;
    const tensor = node.tensor;
    const isFound = query !== "";
    const name = make("span", { class: "name", text: printable(isFound ? pathOf(node) : node.name) || "(empty)" });
    const parts = [make("span", { class: "twist", text: isFolder && !isFound ? (node.isOpen ? "▾" : "▸") : "" }), name];
    if (node.broken && (!tensor || isBroken(tensor))) {
      parts.push(make("span", { class: "badge alarm", text: tensor ? spellBroken(tensor) : `${node.broken} with NaN or Inf` }));
    }
    const what = tensor ? `${data.dtypes[tensor.dtype]} ${spellShape(tensor.shape)}` : plural(node.count, "tensor");
    parts.push(make("span", { class: "what", text: what }));
    parts.push(make("span", { class: "size", text: spellSize(isFound ? tensor.nbytes : node.nbytes) }));
    const row = make("div", {
      role: "treeitem", title: printable(pathOf(node)), children: parts,
      "aria-level": isFound ? 1 : node.depth + 1, "aria-selected": String(tensor !== null && tensor === chosen),
      onclick: () => { rows.move(index); open(node); },
    });
    if (isFolder && !isFound) row.setAttribute("aria-expanded", String(node.isOpen));
    row.style.paddingLeft = `${4 + (isFound ? 0 : Math.min(node.depth, 30) * 16)}px`;
    row.classList.toggle("chosen", tensor !== null && tensor === chosen);
    return row;
  }

  function spellBroken(tensor) {
    return [tensor.nans && `${tensor.nans.toLocaleString("en")} NaN`,
      tensor.infs && `${tensor.infs.toLocaleString("en")} Inf`].filter(Boolean).join(", ");
  }

  function listOpen(node, into) {
    for (const child of node.children.values()) {
      into.push(child);
      if (child.isOpen) listOpen(child, into);
    }
    return into;
  }

  function matcher(text) {
    if (!/[*?]/.test(text)) {
      const wanted = text.toLowerCase();
      return (name) => name.toLowerCase().includes(wanted);
    }
    return (name) => matchGlob(text, name);
  }

  function matchGlob(glob, name) { // in time of the product of their lengths at most
    let [g, n, star, mark] = [0, 0, -1, 0];
    while (n < name.length) {
      if (g < glob.length && glob[g] === "*") { star = g++; mark = n; }
      else if (g < glob.length && (glob[g] === "?" || glob[g] === name[n])) { g++; n++; }
      else if (star >= 0) { g = star + 1; n = ++mark; }
      else return false;
    }
    while (glob[g] === "*") g++;
    return g === glob.length;
  }

  function findNode(name) {
    let node = root;
    for (const part of split(name)) node = node && node.children.get(part);
    return node || null;
  }

  function refresh(active) {
    if (query === "") {
      $("found").textContent = "";
      rows.set(listOpen(root, []), active);
      return;
    }
    const matches = matcher(query);
    const found = tensors.filter((tensor) => matches(tensor.name)).map((tensor) => findNode(tensor.name));
    const bytes = found.reduce((sum, node) => sum + node.tensor.nbytes, 0);
    $("found").textContent = found.length
      ? `${plural(found.length, "tensor")}, ${spellSize(bytes)}` : "No name matches.";
    rows.set(found, active);
  }

  function setQuery(text) {
    query = text;
    $("query").value = text;
    $("tree").scrollTop = 0;
    refresh(0);
  }

  function open(node) {
    if (node.tensor) choose(node.tensor);
    if (node.children.size && query === "") toggle(node, !node.isOpen);
  }

  function toggle(node, isOpen) {
    node.isOpen = isOpen;
    refresh(rows.active);
  }

  function reveal(tensor) {
    const node = findNode(tensor.name);
    for (let at = node.parent; at; at = at.parent) at.isOpen = true;
    if (query !== "") setQuery("");
    refresh(0);
    rows.move(rows.items.indexOf(node));
  }

  $("tree").addEventListener("keydown", (event) => {
    const node = rows.items[rows.active];
    if (!node || rows.key(event)) return;
    const isFolder = node.children.size > 0 && query === "";
    if (event.key === "Enter" || event.key === " ") open(node);
    else if (event.key === "ArrowRight" && isFolder && !node.isOpen) toggle(node, true);
    else if (event.key === "ArrowRight" && isFolder) rows.move(rows.active + 1);
    else if (event.key === "ArrowLeft" && isFolder && node.isOpen) toggle(node, false);
    else if (event.key === "ArrowLeft" && query === "" && node.parent !== root) rows.move(rows.items.indexOf(node.parent));
    else return;
    event.preventDefault();
  });

  $("query").addEventListener("input", () => setQuery($("query").value));
  $("query").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") rows.key(event);
    else if (event.key === "Enter" && rows.items.length) open(rows.items[rows.active]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== $("query") && !event.ctrlKey && !event.metaKey && !event.altKey) {
      $("query").focus();
      $("query").select();
      event.preventDefault();
    } else if (event.key === "Escape" && query !== "") {
      setQuery("");
      if (chosen) reveal(chosen);
      $("tree").focus();
    }
  });

  // ---- The selected tensor

  function choose(tensor, isRevealed = true) {
    chosen = tensor;
    drawDetails(tensor);
    if (isRevealed) history.replaceState(null, "", `#${encodeName(tensor.name)}`);
    rows.render();
    drawBoxes();
  }

  function encodeName(name) { // what is no Unicode cannot be encoded
    try { return encodeURIComponent(name); } catch { return ""; }
  }

  function describe(pairs) {
    const shown = pairs.filter(([, value]) => value !== undefined);
    return make("dl", { children: shown.map(([term, value]) =>
      make("div", { children: [make("dt", { text: term }), make("dd", { text: value })] })) });
  }

  function drawDetails(tensor) {
    const box = $("details");
    const isText = data.dtypes[tensor.dtype] === "string";
    const unit = isText ? " length" : data.dtypes[tensor.dtype].startsWith("complex") ? " magnitude" : "";
    box.replaceChildren(
      make("h2", { text: printable(tensor.name) }),
      describe([
        ["dtype", data.dtypes[tensor.dtype]],
        ["shape", spellShape(tensor.shape)],
        ["elements", tensor.count.toLocaleString("en")],
        ["size", spellSize(tensor.nbytes)],
        [`min${unit}`, spellNumber(tensor.min)],
        [`max${unit}`, spellNumber(tensor.max)],
        [`mean${unit}`, spellNumber(tensor.mean)],
        ["std", spellNumber(tensor.std)],
        ["zeros", tensor.zeros.toLocaleString("en")],
        ["NaN", tensor.nans.toLocaleString("en")],
        ["infinities", tensor.infs.toLocaleString("en")],
      ]),
    );
    const change = changes.get(tensor.name);
    if (change) box.append(make("p", { class: "changed", text: `In the other checkpoint: ${change}` }));
    if (tensor.bins) drawHistogram(box, tensor);
    else if (tensor.min !== null) box.append(make("p", { class: "hint", text: `No histogram: the report has those of the ${data.histograms.toLocaleString("en")} largest tensors.` }));
  }

  function drawHistogram(box, tensor) {
    const [low, high, counts] = tensor.bins;
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", `0 0 ${counts.length} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Histogram of ${plural(counts.length, "part")} from ${spellNumber(low)} to ${spellNumber(high)}`);
    const most = Math.max(...counts);
    counts.forEach((count, i) => {
      const group = document.createElementNS(space, "g");
      const title = document.createElementNS(space, "title");
      const from = low + ((high - low) * i) / counts.length;
      const to = low + ((high - low) * (i + 1)) / counts.length;
      title.textContent = `${spellNumber(from)} to ${spellNumber(to)}: ${count.toLocaleString("en")}`;
      group.append(title);
      for (const [name, height] of [["ground", 100], ["bar", count && Math.max(1, (99 * count) / most)]]) {
        const bar = document.createElementNS(space, "rect");
        bar.setAttribute("class", name);
        bar.setAttribute("x", i + 0.06);
        bar.setAttribute("width", 0.88);
        bar.setAttribute("y", 100 - height);
        bar.setAttribute("height", height);
        group.append(bar);
      }
      svg.append(group);
    });
    const ends = make("div", { class: "axis", children: [make("span", { text: spellNumber(low) }),
      make("span", { text: `highest bar: ${most.toLocaleString("en")}` }),
      make("span", { text: spellNumber(high) })] });
    box.append(svg, ends);
  }

  // ---- The treemap of sizes: boxes within boxes, as deep as there is room for

  let zoom = root;

  function partsOf(node) {
    const parts = [...node.children.values()].map((child) => ({ node: child, bytes: child.nbytes }));
    if (node.tensor) parts.push({ node, bytes: node.tensor.nbytes, isItself: true });
    const sorted = parts.filter((part) => part.bytes > 0).sort((a, b) => b.bytes - a.bytes);
    const rest = sorted.splice(BOXES);
    if (rest.length) {
      const bytes = rest.reduce((sum, part) => sum + part.bytes, 0);
      sorted.push({ node, bytes, rest: rest.length });
    }
    return sorted;
  }

  // Rows of boxes as square as they get: Bruls, Huizing and van Wijk, "Squarified treemaps".
  function squarify(parts, box) {
    const placed = [];
    let { x, y, w, h } = box;
    let scale = (w * h) / parts.reduce((sum, part) => sum + part.bytes, 0);
    let at = 0;
    while (at < parts.length) {
      const side = Math.min(w, h);
      let end = at;
      let sum = 0;
      let worst = Infinity;
      while (end < parts.length) {
        const next = sum + parts[end].bytes * scale;
        const ratio = Math.max(
          (side * side * parts[at].bytes * scale) / (next * next),
          (next * next) / (side * side * parts[end].bytes * scale),
        );
        if (ratio > worst) break;
        [sum, worst] = [next, ratio];
        end++;
      }
      const thick = sum / side;
      let along = 0;
      for (; at < end; at++) {
        const length = (parts[at].bytes * scale) / thick;
        placed.push(w < h ? { ...parts[at], x: x + along, y, w: length, h: thick }
          : { ...parts[at], x, y: y + along, w: thick, h: length });
        along += length;
      }
      if (w < h) { y += thick; h -= thick; } else { x += thick; w -= thick; }
    }
    return placed;
  }

  function drawBoxes() {
    const box = $("boxes");
    const buttons = [];
    fill(zoom, { x: 0, y: 0, w: box.clientWidth, h: box.clientHeight }, 0, buttons);
    if (buttons.length) buttons[0].tabIndex = 0;
    box.replaceChildren(...buttons);
    if (!zoom.nbytes) box.append(make("p", { class: "hint", text: "Nothing here has a size." }));
    drawTrail();
  }

  function fill(node, area, depth, into) {
    if (area.w * area.h <= 0 || node.nbytes === 0) return;
    for (const part of squarify(partsOf(node), area)) {
      if (part.w < 3 || part.h < 3) continue;
      const isLeaf = part.isItself || part.rest || part.node.children.size === 0;
      const hasRoom = part.w > 70 && part.h > 60 && into.length < MOST_BOXES;
      const isOpen = !isLeaf && depth < 4 && hasRoom;
      into.push(drawBox(part, isLeaf, isOpen));
      const inside = { x: part.x + 3, y: part.y + 20, w: part.w - 6, h: part.h - 23 };
      if (isOpen) fill(part.node, inside, depth + 1, into);
    }
  }

  function drawBox({ node, bytes, rest, x, y, w, h }, isLeaf, isOpen) {
    const name = rest ? plural(rest, "other") : printable(node.name) || "(empty)";
    const count = isLeaf ? "" : `${plural(node.count, "tensor")}, `;
    const title = `${rest ? name : printable(pathOf(node))}\n${count}${spellSize(bytes)}`;
    const button = make("button", { type: "button", title, tabindex: "-1", "aria-label": title,
      class: isOpen ? "open" : rest ? "d7" : colourOf(node) });
    if (!rest) {
      button.addEventListener("click", () => {
        if (isLeaf) { choose(node.tensor); reveal(node.tensor); } else zoomTo(node);
      });
    }
    button.classList.toggle("chosen", isLeaf && !rest && node.tensor === chosen);
    const label = isLeaf ? name : `${name}/`;
    if (isOpen) button.append(make("span", { text: `${label} ${spellSize(bytes)}` }));
    else if (w > 40 && h > 18) button.append(make("span", { text: label }));
    if (!isOpen && w > 40 && h > 36) button.append(make("span", { class: "size", text: spellSize(bytes) }));
    Object.assign(button.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    return button;
  }

  function zoomTo(node, isFocused = true) {
    zoom = node;
    drawBoxes();
    const first = $("boxes").querySelector("button");
    if (isFocused && first) first.focus({ focusVisible: true });
  }

  function drawTrail() {
    const places = [];
    for (let at = zoom; at; at = at.parent) places.unshift(at);
    $("trail").replaceChildren(...places.flatMap((place, i) => {
      const name = place === root ? "all" : printable(place.name) || "(empty)";
      const sign = i ? [make("span", { text: "/" })] : [];
      return place === zoom ? [...sign, make("span", { text: `${name}, ${spellSize(place.nbytes)}` })]
        : [...sign, make("button", { type: "button", class: "link", text: name, onclick: () => zoomTo(place) })];
    }));
  }

  $("boxes").addEventListener("keydown", (event) => {
    const buttons = [...$("boxes").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && buttons[at + step]) buttons[at + step].focus();
    else if (event.key === "Backspace" && zoom.parent) zoomTo(zoom.parent);
    else if (!step) return;
    event.preventDefault();
  });
  new ResizeObserver(drawBoxes).observe($("boxes"));

  // ---- The difference

  function drawDiff() {
    const diff = data.diff;
    const entries = diff.entries.map(([kind, name, text]) => ({ kind, name, text }));
    for (const each of entries) if (each.kind === "changed") changes.set(each.name, each.text);
    $("diff").hidden = false;
    $("diff").querySelector("h2").textContent = entries.length
      ? `${plural(entries.length, "difference")}, ${plural(diff.same, "tensor")} the same` : `No difference: ${plural(diff.same, "tensor")} the same`;
    $("other").textContent = `compared with ${printable(diff.path)}`;
    const list = new Rows($("differences"), (each, index) => make("div", {
      title: printable(`${each.name}\n${each.text}`),
      onclick: () => { list.move(index); show(each); },
      children: [make("span", { class: `kind ${each.kind}`, text: each.kind }),
        make("span", { class: "name", text: printable(each.name) }),
        make("span", { class: "what", text: printable(each.text) })],
    }));
    const show = (each) => {
      const tensor = byName.get(each.name);
      if (tensor) { choose(tensor); reveal(tensor); }
    };
    $("differences").addEventListener("keydown", (event) => {
      if (!list.key(event) && event.key === "Enter" && list.items.length) show(list.items[list.active]);
    });
    const kinds = ["all", ...new Set(entries.map((each) => each.kind))];
    const buttons = kinds.map((kind) => {
      const of = kind === "all" ? entries : entries.filter((each) => each.kind === kind);
      return make("button", { type: "button", text: `${kind} ${of.length.toLocaleString("en")}`, "aria-pressed": String(kind === "all"),
        onclick: (event) => {
          for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
          $("differences").scrollTop = 0;
          list.set(of);
        } });
    });
    $("filters").replaceChildren(...(entries.length ? buttons : []));
    $("differences").hidden = !entries.length;
    list.set(entries);
  }

  // ---- The page

  function drawHeader() {
    $("title").textContent = printable(data.title);
    $("path").textContent = printable(data.path);
    const facts = [["tensors", tensors.length.toLocaleString("en")], ["size", spellSize(root.nbytes)],
      ["elements", tensors.reduce((sum, tensor) => sum + tensor.count, 0).toLocaleString("en")],
      ["format", data.format], ["data files", data.shards.toLocaleString("en")]];
    $("facts").replaceChildren(...facts.map(([term, value]) =>
      make("div", { children: [make("dt", { text: term }), make("dd", { text: value })] })));
    $("dtypes").replaceChildren(...data.dtypes.map((dtype, i) => {
      const of = tensors.filter((tensor) => tensor.dtype === i);
      const bytes = of.reduce((sum, tensor) => sum + tensor.nbytes, 0);
      return make("li", { class: colours.get(i), text: `${dtype}: ${plural(of.length, "tensor")}, ${spellSize(bytes)}` });
    }));
  }

  function drawAlarm() {
    const broken = tensors.filter(isBroken);
    if (!broken.length) return;
    $("alarm").hidden = false;
    $("alarm").querySelector("h2").textContent = `${plural(broken.length, "tensor")} with NaN or infinities`;
    const shown = broken.slice(0, 200).map((tensor) => make("li", { children: [make("button", {
      type: "button", class: "link", text: printable(tensor.name), title: spellBroken(tensor),
      onclick: () => { choose(tensor); reveal(tensor); } })] }));
    if (broken.length > 200) shown.push(make("li", { text: `and ${(broken.length - 200).toLocaleString("en")} more` }));
    $("alarm").querySelector("ul").replaceChildren(...shown);
  }

  function openAtFirst() { // as much as can be read at a glance; at least what has no choice
    const nodes = [root];
    let shown = root.children.size;
    while (nodes.length) {
      const node = nodes.shift();
      for (const child of node.children.values()) {
        if (!child.children.size || (shown + child.children.size > 40 && node.children.size > 1)) continue;
        child.isOpen = true;
        shown += child.children.size;
        nodes.push(child);
      }
    }
  }

  function chooseFromHash() {
    let name = "";
    try { name = decodeURIComponent(location.hash.slice(1)); } catch { /* not ours */ }
    const tensor = byName.get(name);
    if (tensor) { choose(tensor, false); reveal(tensor); }
    return Boolean(tensor);
  }

  drawHeader();
  drawAlarm();
  if (data.diff) drawDiff();
  openAtFirst();
  refresh(0);
  drawBoxes();
  if (!chooseFromHash()) {
    const largest = tensors.reduce((best, tensor) => (best && best.nbytes >= tensor.nbytes ? best : tensor), null);
    if (largest) choose(largest, false);
    else $("details").append(make("p", { class: "hint", text: "This checkpoint has no tensors." }));
  }
  window.addEventListener("hashchange", chooseFromHash);
})();
