"use strict";
const $ = name => document.getElementById(name);
let latest = 0;

async function ask(file) {
  const own = ++latest;
  $("figures").replaceChildren();
  $("said").textContent = `${file.name} – one moment …`;
  const request = {method: "POST", body: file, headers: {"Content-Type": "application/octet-stream"}};
  const told = await fetch("opinion", request).then(reply => reply.json()).catch(() =>
    ({fault: "it could not be sent: choose a file, not a folder, and see whether the program still runs."}));
  if (own !== latest) return;  // another file has been chosen meanwhile
  $("said").textContent = `${file.name} – ${told.fault ?? told.reason + "."}`;
  $("figures").innerHTML = (told.figures ?? []).map(({image, caption}) =>
    `<figure>${image}<figcaption>${caption}</figcaption></figure>`).join("");
}

$("file").addEventListener("change", event => event.target.files[0] && ask(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"])
  addEventListener(name, event => {
    event.preventDefault();  // else the browser would open the file itself
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]);
  });
