// The pages before the admin page: log in, first setup.

const message = document.getElementById("message");

function say(text) {
  message.textContent = text;
}

/** Calls the API; its data, or an error with what the server says. */
async function call(method, path, body) {
  const request = { method, credentials: "same-origin", headers: {} };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  let envelope;
  try {
    answer = await fetch(path, request);
    envelope = await answer.json();
  } catch {
    throw new Error("The server does not answer. Try again.");
  }
  if (!answer.ok) {
    const error = new Error(envelope.message);
    error.status = answer.status;
    throw error;
  }
  return envelope.data;
}

/** Where to go on to: a path of this server and of no other. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const url = new URL(wanted, location.origin);
    const ours = wanted.startsWith("/") && url.origin === location.origin;
    return ours ? url.pathname + url.search + url.hash : "/";
  } catch {
    return "/";
  }
}

/** Lets `work` take what a form holds, and says what went wrong. */
function on(id, work) {
  const form = document.getElementById(id);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await work(Object.fromEntries(new FormData(form)), form);
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
    }
  });
}

function same(first, second) {
  if (first !== second) {
    throw new Error("The two passwords differ.");
  }
}

const pages = {
  login() {
    on("login", async ({ name, password }) => {
      await call("POST", "/api/ota/login", { name, password });
      location.replace(next());
    });
  },

  setup() {
    // The secret stays out of the history, too.
    const link = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    if (!link) {
      say("The link is not whole: it ends with # and a secret. The server's first start printed it.");
    }
    on("setup", async ({ name, password, again }) => {
      same(password, again);
      await call("POST", "/api/ota/setup", { link, name, password });
      location.replace("/");
    });
  },
};

pages[document.body.dataset.page]();
