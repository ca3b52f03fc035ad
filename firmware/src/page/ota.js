'use strict';
const $ = (id) => document.getElementById(id);
const GIVE_UP_MS = 180000;
let busy = false;

function say(text, look) {
  $('say').textContent = text;
  $('say').className = look || '';
}

function stop(text, look) {
  busy = false;
  $('send').disabled = $('file').disabled = false;
  $('bar').hidden = true;
  say(text, look);
}

function failed(request) {
  let answer = {};
  try { answer = JSON.parse(request.responseText); } catch { /* not from the device itself */ }
  const error = answer.error || 'Upload failed';
  const cause = answer.cause || 'the device answered with status ' + request.status;
  stop(error + ': ' + cause, 'bad');
}

/* A file's name tells its field; they go in the order in which the device wants them. */
const FIELDS = { manifest: /\.json$/i, signature: /\.asc$/i, firmware: /./ };
const chosen = {};

function choose(files) {
  for (const file of files) {
    chosen[Object.keys(FIELDS).find((field) => FIELDS[field].test(file.name))] = file;
  }
  say(Object.values(chosen).map((file) => file.name).join(', '));
}

function upload() {
  const form = new FormData();
  for (const field in FIELDS) {
    if (chosen[field]) form.append(field, chosen[field], chosen[field].name);
  }
  const request = new XMLHttpRequest();
  request.open('POST', '/api/ota/upload');
  request.upload.onprogress = (event) => {
    if (!event.lengthComputable) return;
    const percent = Math.floor(100 * event.loaded / event.total);
    $('bar').value = percent;
    say(percent < 100 ? 'Uploading: ' + percent + ' %' : 'Uploaded; the device checks the image');
  };
  request.onload = () => (request.status === 200 ? reboot() : failed(request));
  request.onerror = () =>
    stop('Upload failed: the connection broke; the device goes on with what it runs', 'bad');
  busy = true;
  $('send').disabled = $('file').disabled = true;
  $('bar').hidden = false;
  $('bar').value = 0;
  say('Uploading');
  request.send(form);
}

async function version() {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), 4000);
  try {
    const answer = await fetch('/api/ota', { cache: 'no-store', signal: control.signal });
    if (!answer.ok) return null;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    return page.getElementById('version').textContent;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/* The device may still answer for a moment before it goes down: it counts as back once it was
   away, runs another version, or has answered for 20 seconds. */
async function reboot() {
  const began = Date.now();
  const old = $('version').textContent;
  let away = false;
  $('bar').removeAttribute('value');
  say('Update installed; the device is rebooting');
  while (Date.now() - began < GIVE_UP_MS) {
    await new Promise((done) => setTimeout(done, 2000));
    const now = await version();
    if (now === null) away = true;
    else if (away || now !== old || Date.now() - began > 20000) {
      $('version').textContent = now;
      stop('The device is back and runs version ' + now, 'good');
      return;
    }
  }
  stop('The device has not come back: check its power and network. If the new image does not ' +
    'boot, the device returns to the old one by itself.', 'bad');
}

$('form').onsubmit = (event) => {
  event.preventDefault();
  if (busy) return;
  if (chosen.firmware) upload();
  else say('Choose a .bin file first', 'bad');
};
$('file').onchange = () => choose($('file').files);
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', name === 'dragenter' || name === 'dragover');
  });
}
document.addEventListener('drop', (event) => {
  if (busy || !event.dataTransfer.files.length) return;
  choose(event.dataTransfer.files);
});
