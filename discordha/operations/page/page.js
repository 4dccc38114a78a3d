"use strict";
// The operator's page. Everything that comes from the server enters the document as text, never as markup.

// ---- small helpers --------------------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);
// Behind a proxy the page lies below any path, perhaps without the slash at its end.
const base = location.pathname.replace(/\/?$/, "/");

function setText(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}
function setClass(node, name) {
  if (node.className !== name) node.className = name;
}
function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}
// Brings a parent's children in line with items. A child stays the same node, so that focus and reading stay.
function sync(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = old.get(key);
    if (node === undefined) {
      node = create(item);
      node.dataset.key = key;
    }
    old.delete(key);
    if (next === node) next = node.nextElementSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  for (const node of old.values()) node.remove();
}
function newRow(cells) {
  const row = make("tr");
  const head = make("th");
  head.scope = "row";
  row.append(head);
  for (let i = 1; i < cells; i++) row.append(make("td"));
  return row;
}
function newButton(text, action, className) {
  const button = make("button", text, className);
  button.type = "button";
  button.addEventListener("click", action);
  return button;
}
const object = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value : []);
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : 0);
const known = (value) => typeof value === "number" && Number.isFinite(value);

function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  const days = Math.floor(seconds / 86400);
  const text = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map((n) => String(Math.floor(n)).padStart(2, "0"));
  return (days ? days + " d " : "") + text.join(":");
}
function short(seconds) {
  if (!known(seconds)) return "–";
  if (seconds < 1) return (seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0) + " ms";
  return seconds.toFixed(1) + " s";
}
const rate = (value) => (known(value) ? (value >= 100 ? value.toFixed(0) : value.toFixed(1)) : "–");
function ago(seconds) {
  if (!known(seconds)) return "–";
  const text = Math.abs(seconds) < 90 ? Math.round(Math.abs(seconds)) + " s" : duration(Math.abs(seconds));
  return seconds < 0 ? "in " + text : text + " ago";
}

// ---- curves ---------------------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const REMEMBERED = 60;
const OUTCOMES = [
  ["handled", "handled"], ["failed", "failed"], ["taken_over", "taken over"], ["lost", "lost with a session"],
  ["dropped", "dropped"], ["dead", "dead letters"],
];
const STAGES = [
  ["wait", "before the claim"], ["claim", "claim in etcd"], ["start", "behind its batch"],
  ["handler", "handlers"], ["mark", "mark in etcd"],
];
const QUEUES = {
  waiting: "queued here", delayed: "left to a preferred replica", parked: "run elsewhere", running: "running",
  finished: "finished, the mark is on its way",
};
let ticks = [];
const seen = new Map();

function newSpark() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.append(document.createElementNS(SVG, "polyline"));
  return svg;
}
function drawSpark(svg, values, label, write) {
  const there = values.filter(known);
  const top = Math.max(...there, 1e-9);
  const step = 100 / (REMEMBERED - 1);
  const first = REMEMBERED - values.length;
  const points = values.map((v, i) => (known(v) ? `${((first + i) * step).toFixed(1)},${(22 - 20 * v / top).toFixed(1)}` : ""));
  svg.firstChild.setAttribute("points", points.filter(Boolean).join(" "));
  const text = there.length ? `${label}, last minute: at most ${write(Math.max(...there))}` : `${label}: nothing known`;
  if (svg.getAttribute("aria-label") !== text) svg.setAttribute("aria-label", text);
}
function setCurve(cell, now, values, label, write) {
  if (!cell.firstChild) cell.append(make("span", "", "value"), newSpark());
  setText(cell.firstChild, known(now) ? write(now) : "–");
  drawSpark(cell.lastChild, values, label, write);
}

// Rates between two records of a replica. Records come more seldom than looks, so a rate holds until the next one.
function measure(before, now) {
  const seconds = number(now.uptime) - number(before.uptime);
  const rates = { counts: {}, times: {} };
  for (const [name, count] of Object.entries(object(now.counts)))
    rates.counts[name] = Math.max(0, number(count) - number(object(before.counts)[name])) / seconds;
  for (const [name, value] of Object.entries(object(now.times))) {
    const [count, total] = list(value), [countBefore, totalBefore] = list(object(before.times)[name]);
    rates.times[name] = [number(count) - number(countBefore), number(total) - number(totalBefore)];
  }
  rates.load = Math.max(0, number(now.cpu) - number(before.cpu)) / seconds;
  const [count, total] = rates.times.event || [0, 0];
  rates.eventTime = count > 0 ? total / count : undefined;
  return rates;
}
function ingest(at, replicas) {
  if (ticks.length && ticks[ticks.length - 1].at >= at) return;
  const tick = { at, replicas: {}, counts: {}, times: {} };
  for (const [name, record] of Object.entries(object(replicas))) {
    const now = object(record), before = seen.get(name);
    if (before === undefined) seen.set(name, { record: now, rates: undefined });
    else if (number(now.uptime) > number(before.record.uptime))
      seen.set(name, { record: now, rates: measure(before.record, now) });
    const rates = seen.get(name).rates;
    if (rates === undefined) continue;
    tick.replicas[name] = rates;
    for (const [what, value] of Object.entries(rates.counts)) tick.counts[what] = number(tick.counts[what]) + value;
    for (const [what, [count, total]] of Object.entries(rates.times)) {
      const sum = tick.times[what] || [0, 0];
      tick.times[what] = [sum[0] + count, sum[1] + total];
    }
  }
  for (const name of [...seen.keys()]) if (!(name in object(replicas))) seen.delete(name);
  ticks.push(tick);
  ticks = ticks.slice(-REMEMBERED);
}
const lastTick = () => ticks[ticks.length - 1] || { replicas: {}, counts: {}, times: {} };
const curve = (read) => ticks.map(read);
const mean = (times, name) => {
  const [count, total] = times[name] || [0, 0];
  return count > 0 ? total / count : undefined;
};

// ---- what is shown --------------------------------------------------------------------------------------------

let status = {};
let token = null;
let operator = "";

function show(state) {
  status = state;
  const replicas = object(state.replicas);
  if (known(state.read_at) && state.read_at > 0) ingest(state.read_at, replicas);
  const names = Object.keys(replicas).sort();
  const bot = String(state.root || "").split("/").filter(Boolean).pop() || "discordha";
  setText($("bot"), bot);
  const title = `${bot} · discordha`;
  if (document.title !== title) document.title = title;
  const ready = names.filter((name) => object(replicas[name]).state === "ready").length;
  const all = names.length > 1 ? "all ready" : "ready";
  setText($("summary"), names.length === 0 ? "no replica" : `${many(names.length, "replica")}, ${ready === names.length ? all : `${ready} ready`}`);
  $("no-replicas").hidden = names.length > 0;
  const down = state.error !== null && state.error !== undefined;
  $("trouble").hidden = !down;
  if (down) setText($("trouble"), `etcd does not answer since ${clock(state.failing_since)}; what is shown is from ${clock(state.read_at)}: ${state.error}`);
  else setText($("trouble"), "");
  setText($("served"), `served by ${state.served_by || "?"}`);
  setText($("mode"), token !== null ? `acting as ${operator}` : state.can_act ? "" : "read-only");
  $("open-sign-in").hidden = !state.can_act || token !== null;
  showReplicas(replicas, names);
  showOutcomes(replicas);
  showWaits(replicas);
  showShards(state, names);
  showEtcd(list(state.etcd));
  showBudgets(state, names);
  showGaps(state);
  showLoops(state);
  showIncidents(list(state.incidents));
  showLetterCount(number(state.dead_letters));
}

const clock = (seconds) => (known(seconds) && seconds > 0 ? new Date(seconds * 1000).toLocaleTimeString() : "–");
const STATES = { ready: "good", starting: "warn", draining: "warn", stopping: "warn" };

function showReplicas(replicas, names) {
  sync($("replicas"), names, (name) => name, (name) => {
    const row = newRow(12);
    row.firstChild.textContent = name;
    row.cells[1].append(make("span"), make("div"));
    row.cells[11].className = "act";
    row.cells[11].append(newButton("Drain", () => act("drain", { replica: name }, `Drain ${name}? It finishes its events and ends.`)));
    row.cells[11].firstChild.setAttribute("aria-label", `Drain ${name}`);
    return row;
  }, (row, name) => {
    const record = object(replicas[name]), queue = object(record.queue), state = String(record.state || "?");
    const rates = lastTick().replicas[name] || {};
    setText(row.cells[1].firstChild, state);
    setClass(row.cells[1].firstChild, STATES[state] || "bad");
    sync(row.cells[1].lastChild, list(record.reasons).map(String), (why) => why, (why) => make("p", why, "why"), () => {});
    setText(row.cells[2], record.version || "?");
    setText(row.cells[3], known(record.started) ? duration(number(status.now) - record.started) : "?");
    setText(row.cells[4], list(record.leads).join(", "));
    const label = (what) => `${what} of ${name}`;
    setCurve(row.cells[5], rates.load, curve((t) => object(t.replicas[name]).load), label("load"), (v) => (v * 100).toFixed(0) + " %");
    setCurve(row.cells[6], rates.eventTime, curve((t) => object(t.replicas[name]).eventTime), label("time of an event"), short);
    const latencies = Object.values(object(record.latency)).filter(known);
    setText(row.cells[7], latencies.length ? short(Math.max(...latencies)) : "–");
    setText(row.cells[8], number(queue.waiting) + number(queue.delayed));
    setText(row.cells[9], number(queue.running));
    setText(row.cells[10], number(record.handled));
  });
}
function showOutcomes(replicas) {
  sync($("outcomes"), OUTCOMES, ([name]) => name, ([, title]) => {
    const row = newRow(4);
    row.firstChild.textContent = title;
    row.cells[2].append(newSpark());
    return row;
  }, (row, [name, title]) => {
    const all = Object.values(replicas).reduce((sum, record) => sum + number(object(object(record).counts)[name]), 0);
    setText(row.cells[1], rate(lastTick().counts[name]));
    drawSpark(row.cells[2].firstChild, curve((t) => t.counts[name]), `${title} a second`, rate);
    setText(row.cells[3], all);
  });
}
function showWaits(replicas) {
  const sums = {};
  for (const record of Object.values(replicas))
    for (const [name, count] of Object.entries(object(object(record).queue))) sums[name] = number(sums[name]) + number(count);
  sync($("queues"), Object.keys(sums), (name) => name, (name) => {
    const row = newRow(2);
    row.firstChild.textContent = QUEUES[name] || name;
    return row;
  }, (row, name) => setText(row.cells[1], sums[name]));
  sync($("stages"), STAGES, ([name]) => name, ([, title]) => {
    const row = newRow(3);
    row.firstChild.textContent = title;
    row.cells[2].append(newSpark());
    return row;
  }, (row, [name, title]) => {
    setText(row.cells[1], short(mean(lastTick().times, name)));
    drawSpark(row.cells[2].firstChild, curve((t) => mean(t.times, name)), title, short);
  });
}
const HOST = { leads: "good", ready: "good", opens: "warn", leaves: "warn" };
function showShards(state, names) {
  const shards = object(state.shards), rows = list(state.hosts);
  setText($("shard-counts"), known(shards.count)
    ? `${shards.count} shards` + (known(shards.next) ? `, ${shards.next} to come` : "") : "This bot has no shards: one connection for all.");
  $("reshard").hidden = !known(shards.count);
  const heads = [["shard", "Shard"], ...names.map((name) => ["r " + name, name]), ["act", "Action"]];
  sync($("shard-head"), heads, ([key]) => key, ([key, title]) => {
    const cell = make("th", title, key === "act" ? "act" : "");
    cell.scope = "col";
    return cell;
  }, () => {});
  sync($("shards"), rows, (row) => `${row.next ? "next " : ""}${row.shard}`, (row) => {
    const line = make("tr"), head = make("th", `${row.shard}${row.next ? " (to come)" : ""}`);
    head.scope = "row";
    head.dataset.key = "shard";
    line.append(head);
    return line;
  }, (line, row) => {
    const cells = [["shard"], ...names.map((name) => ["r " + name, name]), ["act"]];
    sync(line, cells, ([key]) => key, ([key]) => {
      const cell = make("td", "", key === "act" ? "act" : "");
      if (key === "act" && !row.next) {
        cell.append(newButton("Resign", () => act("resign", { shard: row.shard }, `Let another replica lead shard ${row.shard}?`)));
        cell.firstChild.setAttribute("aria-label", `Resign shard ${row.shard}`);
      }
      return cell;
    }, (cell, [key, name]) => {
      if (key === "shard" || key === "act") return;
      const what = object(row.hosts)[name];
      setText(cell, what || "–");
      setClass(cell, HOST[what] || "");
    });
  });
}
function showEtcd(members) {
  $("no-etcd").hidden = members.length > 0;
  sync($("etcd"), members, (member) => member.endpoint, (member) => {
    const row = newRow(5);
    row.firstChild.textContent = member.endpoint;
    return row;
  }, (row, member) => {
    const bad = member.error !== null && member.error !== undefined;
    setText(row.cells[1], bad ? "" : member.version);
    setText(row.cells[2], bad ? member.error : member.is_leader ? "leads" : "follows");
    setClass(row.cells[2], bad ? "bad" : "");
    setText(row.cells[3], bad ? "–" : short(member.latency));
    setText(row.cells[4], bad ? "–" : `${(number(member.db_size) / 1048576).toFixed(1)} MiB`);
  });
}
function showBudgets(state, names) {
  const gauges = [], identify = object(state.identify), rest = object(state.rest);
  if (known(identify.total))
    gauges.push({ key: "identify", title: "New sessions left today", value: identify.remaining, max: identify.total, low: identify.total / 5 });
  const total = Object.values(rest).reduce((sum, share) => sum + number(object(share).share), 0);
  for (const name of names) {
    if (!(name in rest)) continue;
    const share = object(rest[name]);
    gauges.push({ key: "rest " + name, title: `Requests a second, share of ${name}`, value: share.share, max: Math.max(total, 1), more: `, would use ${number(share.want)}` });
  }
  sync($("budgets"), gauges, (gauge) => gauge.key, (gauge) => {
    const box = make("div", undefined, "gauge"), title = make("span"), meter = make("meter");
    meter.setAttribute("aria-label", gauge.title);
    box.append(title, meter);
    return box;
  }, (box, gauge) => {
    const meter = box.lastChild;
    setText(box.firstChild, `${gauge.title}: ${number(gauge.value)} of ${gauge.max}${gauge.more || ""}`);
    meter.max = gauge.max;
    if (gauge.low) { meter.low = gauge.low; meter.high = gauge.low; meter.optimum = gauge.max; }
    meter.value = number(gauge.value);
  });
}
function showGaps(state) {
  const gaps = list(state.gaps).map(object), now = number(state.now);
  $("no-gaps").hidden = gaps.length > 0;
  $("gap-table").hidden = gaps.length === 0;
  sync($("gaps"), gaps, (gap) => `${gap.shard}/${gap.number}`, () => newRow(4), (row, gap) => {
    setText(row.cells[0], gap.shard);
    setText(row.cells[1], `${duration(number(gap.until) - number(gap.since))}, ${ago(now - number(gap.until))}`);
    setText(row.cells[2], Object.values(object(gap.counts)).reduce((sum, count) => sum + number(count), 0));
    const progress = object(gap.progress), left = [...list(gap.missing), ...Object.keys(object(gap.skipped))];
    const fetching = known(progress.remaining) ? `being fetched, ${many(progress.remaining, "source")} to go` : "being fetched";
    setText(row.cells[3], (gap.fetched ? "being handled" : fetching) + (left.length ? `; not to be had: ${left.join(", ")}` : ""));
  });
}
function showLoops(state) {
  const now = number(state.now);
  sync($("loops"), list(state.loops), (loop) => loop.name, (loop) => {
    const row = newRow(4);
    row.firstChild.textContent = loop.name;
    return row;
  }, (row, loop) => {
    setText(row.cells[1], number(loop.runs));
    const last = known(loop.begun) ? loop.begun : loop.due;
    setText(row.cells[2], known(last) ? ago(now - last) : "–");
    setText(row.cells[3], loop.running ? `runs on ${loop.running}` : loop.stopped ? "stopped" : "waits");
    setClass(row.cells[3], loop.stopped && !loop.running ? "warn" : "");
  });
  const timers = object(state.timers);
  setText($("timer-count"), `${many(timers.count, "timer")} to come${number(timers.count) > 0 ? ", the next ones:" : ""}`);
  sync($("timers"), list(timers.timers), (timer) => timer.id, () => make("li"), (item, timer) =>
    setText(item, `${timer.name} ${ago(now - number(timer.due))}`));
}
const INCIDENTS = {
  "took over": ["warn", (i) => `${i.replica} took over ${many(i.number, "event")}`],
  "session lost": ["bad", (i) => `${i.replica} lost its session in etcd${times(i.number)}`],
  "deaf": ["bad", (i) => `${i.replica} was deaf on shard ${i.shard}${times(i.number)}`],
  "leads": ["", (i) => `${i.replica} became the leader of shard ${i.shard}`],
  "drained": ["", (i) => `${i.replica} has drained`],
  "gone": ["bad", (i) => `${i.replica} ended without a drain, or lost its session`],
  "dead letter": ["bad", (i) => `${i.replica} buried ${many(i.number, "dead letter")}`],
};
const many = (count, what) => `${number(count)} ${what}${number(count) === 1 ? "" : "s"}`;
const times = (count) => (number(count) > 1 ? `, ${count} times` : "");
function showIncidents(incidents) {
  $("no-incidents").hidden = incidents.length > 0;
  sync($("incidents"), incidents, (i) => [i.at, i.kind, i.replica, i.shard].join(" "), (i) => {
    const item = make("li"), time = make("time", clock(i.at));
    time.dateTime = new Date(number(i.at) * 1000).toISOString();
    item.append(time, make("span"));
    return item;
  }, (item, i) => {
    const [level, write] = INCIDENTS[i.kind] || ["", () => `${i.replica}: ${i.kind}`];
    setClass(item, level);
    setText(item.lastChild, write(i));
  });
}

// ---- events and dead letters ----------------------------------------------------------------------------------

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token !== null) Object.assign(headers, { Authorization: `Bearer ${token}`, "X-Operator": encodeURIComponent(operator) });
  const answer = await fetch(base + path, { ...options, headers, cache: "no-store", credentials: "same-origin" });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error(object(found).error || `the server says ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return found;
}
function say(text, bad = false) {
  setText($("said"), text);
  setClass($("said"), bad ? "bad" : "");
}

$("lookup").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = $("lookup-id").value.trim();
  let lines;
  try {
    const found = await ask(`api/event?id=${encodeURIComponent(id)}`);
    lines = found.map((e) => `${e.event}: ${e.state} by ${e.replica}, attempt ${e.attempt}` +
      (known(e.at) ? `, ${new Date(e.at * 1000).toLocaleString()}` : ""));
    if (!lines.length) lines = [`no event ${id} within the retention`];
  } catch (error) {
    lines = [error.message];
  }
  $("outcome").replaceChildren(...lines.map((line) => make("li", line)));
});

let lettersShown = null;
function showLetterCount(count) {
  setText($("letter-count"), count === 0 ? "There are none." : many(count, "event") + " ended every process that handled them.");
  if (lettersShown === count) return;
  lettersShown = count;
  loadLetters();
}
async function loadLetters() {
  let letters = [];
  try {
    if (number(status.dead_letters) > 0) letters = await ask("api/letters");
  } catch (error) {
    lettersShown = null; // the next look tries again
    if (error.status !== 429) say(error.message, true);
    return;
  }
  sync($("letters"), letters, (letter) => letter.event, (letter) => {
    const item = make("li"), name = letter.event, buttons = make("div", undefined, "buttons"), detail = make("div");
    item.append(make("strong", name), make("span"), buttons, detail);
    const open = newButton("Show", () => showLetter(name, detail, open));
    open.setAttribute("aria-label", `Show ${name}`);
    open.setAttribute("aria-expanded", "false");
    const replay = newButton("Replay", () => act("replay", { event: name }, `Give ${name} back to the replicas? It runs again, from attempt 1.`), "act");
    const drop = newButton("Drop", () => act("drop", { event: name }, `Delete ${name}? It is gone for good.`), "act danger");
    replay.setAttribute("aria-label", `Replay ${name}`);
    drop.setAttribute("aria-label", `Drop ${name}`);
    buttons.append(open, replay, drop);
    return item;
  }, (item, letter) => setText(item.children[1], ` ${many(letter.attempts, "attempt")}, last on ${letter.replica}: ${letter.error}`));
}
async function showLetter(name, detail, button) {
  if (detail.firstChild) {
    detail.replaceChildren();
    button.setAttribute("aria-expanded", "false");
    return;
  }
  let letter;
  try {
    letter = await ask(`api/letters?id=${encodeURIComponent(name)}`);
  } catch (error) {
    say(error.message, true);
    return;
  }
  const history = make("ol");
  for (const line of list(letter.history)) history.append(make("li", line));
  const payload = letter.withheld ? "Sign in to see the payload." : pretty(letter.payload);
  const box = make("pre", payload);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `Payload of ${name}`);
  detail.replaceChildren(history, box);
  button.setAttribute("aria-expanded", "true");
}
function pretty(payload) {
  if (typeof payload !== "string") return "The payload was not kept.";
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

// ---- actions --------------------------------------------------------------------------------------------------

// Whether the operator is sure; for a question with a number, the number.
function sure(text, before) {
  const dialog = $("confirm"), input = $("confirm-number");
  setText($("confirm-text"), text);
  $("confirm-number-row").hidden = before === undefined;
  input.value = before === undefined ? "" : before;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    const yes = dialog.returnValue === "yes";
    resolve(yes && before !== undefined ? Number(input.value) : yes);
  }, { once: true }));
}
async function act(action, given, text) {
  if (!(await sure(text))) return;
  await send(action, given);
}
async function send(action, given) {
  try {
    const found = await ask(`api/${action}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(given),
    });
    say(found.text);
  } catch (error) {
    say(`${action} failed: ${error.message}`, true);
    if (error.status === 401) signOut();
  }
}
$("reshard").addEventListener("click", async () => {
  const now = number(object(status.shards).count);
  const count = await sure(`The bot has ${now} shards. The new ones start beside them, and take over when all are ready.`, now);
  if (count !== false) await send("reshard", { count });
});
const reloadButton = newButton("Reload the bot", () => act("reload", {}, "Replace the replicas of this machine's discordha run, one after another?"), "act");
$("mode").after(reloadButton);

$("open-sign-in").addEventListener("click", () => $("sign-in").showModal());
$("sign-in-cancel").addEventListener("click", () => $("sign-in").close());
$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = $("token").value;
  operator = $("operator").value.trim();
  try {
    await ask("api/letters");
  } catch (error) {
    token = null;
    setText($("sign-in-error"), error.message);
    return;
  }
  setText($("sign-in-error"), "");
  $("token").value = "";
  $("sign-in").close();
  document.body.classList.add("acting");
  $("sign-out").hidden = false;
  show(status);
});
function signOut() {
  token = null;
  document.body.classList.remove("acting");
  $("sign-out").hidden = true;
  show(status);
}
$("sign-out").addEventListener("click", signOut);

// ---- the connection -------------------------------------------------------------------------------------------

let stream = null;
let lastHeard = 0;
let sleeping = null;

function connection(text, className) {
  setText($("connection"), text);
  setClass($("connection"), className);
}
function connect() {
  if (stream !== null || document.hidden) return;
  stream = new EventSource(base + "stream");
  stream.addEventListener("curves", (event) => {
    ticks = [];
    seen.clear();
    for (const point of JSON.parse(event.data)) ingest(point.at, point.replicas);
  });
  stream.addEventListener("status", (event) => {
    lastHeard = Date.now();
    connection("live", "live");
    show(JSON.parse(event.data));
  });
  stream.addEventListener("error", () => {
    connection("not connected; it tries again", "down");
    // The browser gives up where the server refuses.
    if (stream !== null && stream.readyState === EventSource.CLOSED) {
      disconnect();
      setTimeout(connect, 3000);
    }
  });
}
function disconnect() {
  if (stream !== null) stream.close();
  stream = null;
}
// A page that nobody sees asks for nothing.
document.addEventListener("visibilitychange", () => {
  clearTimeout(sleeping);
  if (document.hidden) sleeping = setTimeout(() => { disconnect(); connection("asleep", ""); }, 5000);
  else connect();
});
// A proxy may hold a dead connection open.
setInterval(() => {
  if (stream !== null && lastHeard && Date.now() - lastHeard > 30000) {
    connection("not connected; it tries again", "down");
    lastHeard = Date.now();
    disconnect();
    connect();
  }
}, 5000);
connect();
