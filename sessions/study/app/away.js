// Say in our own words that the server cannot be reached, until it can. Streamlit's own messages,
// which are for developers, are hidden (look.css).

const PATIENCE = 1500; // milliseconds without a connection until it is said
const AGAIN = 3000; // milliseconds until the server is asked again

function watch(root) {
  const app = document.querySelector(".stApp");
  const connected = () => app.dataset.testConnectionState === "CONNECTED";
  let waiting = null, hiding = null;

  function away() {
    if (connected()) return;
    clearTimeout(hiding);
    root.firstChild.textContent = root.words.away;
    root.lastChild.textContent = root.words.away_text;
    root.className = "away";
    root.hidden = false;
    waiting = setTimeout(look, AGAIN);
  }

  /** Streamlit gives up at times; then the page is loaded again as soon as the server is there. */
  async function look() {
    if (connected()) return;
    const gaveUp = app.dataset.testConnectionState === "DISCONNECTED_FOREVER";
    const there = gaveUp && await fetch("_stcore/health", { cache: "no-store" })
      .then((answer) => answer.ok, () => false);
    if (there) location.reload();
    else waiting = setTimeout(look, AGAIN);
  }

  function change() {
    clearTimeout(waiting);
    if (!connected()) {
      waiting = setTimeout(away, PATIENCE);
      return;
    }
    root.cameBack(); // a new server has none of the page's parts, which clicks run alone
    if (!root.hidden) {
      root.firstChild.textContent = root.words.back;
      root.lastChild.textContent = "";
      root.className = "back";
      hiding = setTimeout(() => { root.hidden = true; }, PATIENCE);
    }
  }

  const changes = new MutationObserver(change);
  // A dialog, though it is hidden, would keep the page from being used: close it.
  new MutationObserver(() => {
    if (!connected()) document.querySelector('[data-testid="stDialog"] button')?.click();
  }).observe(document.body, { childList: true });
  changes.observe(app, { attributes: true, attributeFilter: ["data-test-connection-state"] });
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector("section");
  root.words = data;
  root.cameBack = () => setTriggerValue("back", true);
  if (root.watched) return;
  root.watched = true;
  root.hidden = true;
  root.setAttribute("role", "alert");
  root.replaceChildren(document.createElement("b"), document.createElement("span"));
  watch(root);
}
