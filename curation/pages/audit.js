
"use strict";

const pictures = [...document.querySelectorAll("article")];
const store = "curate audit " + document.body.dataset.audit;
const labelOf = { "0": "none", "1": "light", "2": "heavy", "u": "unsure" };
const labels = kept();
const before = []; // what to undo: [place, key, the label that it had]
let here = 0;

function kept() {
  try {
    return new Map(JSON.parse(localStorage.getItem(store) || "[]"));
  } catch {
    return new Map();
  }
}

function keep() {
  try {
    localStorage.setItem(store, JSON.stringify([...labels]));
  } catch {
    document.getElementById("kept").textContent = "This browser stores no progress: download the sheet before you leave.";
  }
}

function keyOf(picture) {
  return picture.dataset.key;
}

function isLabelled(picture) {
  return labels.has(keyOf(picture));
}

function showProgress() {
  const done = pictures.filter(isLabelled).length;
  document.querySelector("progress").value = done;
  document.getElementById("count").textContent = done + " of " + pictures.length + " labelled";
  document.getElementById("place").textContent = here + 1 + " / " + pictures.length;
  document.getElementById("undo").disabled = !before.length;
  document.getElementById("save").classList.toggle("ready", done === pictures.length);
}

function show(place) {
  here = Math.max(0, Math.min(pictures.length - 1, place));
  pictures.forEach((picture, each) => { picture.hidden = each !== here; });
  for (const choice of pictures[here].querySelectorAll("input")) {
    choice.checked = choice.value === labels.get(keyOf(pictures[here]));
  }
  document.activeElement.blur();
  showProgress();
}

function showOpen() {
  const later = pictures.findIndex((picture, each) => each > here && !isLabelled(picture));
  const first = pictures.findIndex((picture) => !isLabelled(picture));
  show(later >= 0 ? later : first >= 0 ? first : here);
}

function label(picture, value) {
  const place = pictures.indexOf(picture);
  before.push([place, keyOf(picture), labels.get(keyOf(picture))]);
  labels.set(keyOf(picture), value);
  keep();
  show(place + 1);
}

function undo() {
  if (!before.length) {
    return;
  }
  const [place, key, value] = before.pop();
  if (value === undefined) {
    labels.delete(key);
  } else {
    labels.set(key, value);
  }
  keep();
  show(place);
}

function quoted(field) {
  return /[,;"\t\r\n]/.test(field) ? '"' + field.replaceAll('"', '""') + '"' : field;
}

function download() {
  const lines = pictures.map((picture) => quoted(keyOf(picture)) + "," + (labels.get(keyOf(picture)) || ""));
  const sheet = new Blob([["key,label", ...lines].join("\n") + "\n"], { type: "text/csv" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(sheet);
  link.download = "filled.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (event.altKey || ((event.ctrlKey || event.metaKey) && key !== "z")) {
    return;
  }
  if (key in labelOf) {
    label(pictures[here], labelOf[key]);
  } else if (key === "arrowleft" || key === "arrowup") {
    show(here - 1);
  } else if (key === "arrowright" || key === "arrowdown") {
    show(here + 1);
  } else if (key === "n") {
    showOpen();
  } else if (key === "z") {
    undo();
  } else {
    return;
  }
  event.preventDefault(); // arrows would move between radio buttons
});

for (const picture of pictures) {
  picture.addEventListener("change", (event) => label(picture, event.target.value));
}
document.getElementById("back").addEventListener("click", () => show(here - 1));
document.getElementById("on").addEventListener("click", () => show(here + 1));
document.getElementById("undo").addEventListener("click", undo);
document.getElementById("open").addEventListener("click", showOpen);
document.getElementById("save").addEventListener("click", download);
addEventListener("pagehide", keep);

here = -1;
showOpen();
