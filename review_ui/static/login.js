// Logging in; `#token=…` in the address is taken as the token, and out of the address.

import { post } from "./api.js";

const NAME = "nonesuch:name";
const form = document.getElementById("login");
const problem = document.getElementById("problem");
const { name, token } = form.elements;

function takeToken() {
  const found = /[#&]token=([^&]*)/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.hash.replace(/[#&]token=[^&]*/, ""));
  if (token) token.value = decodeURIComponent(found[1]);
}

async function logIn(event) {
  event.preventDefault();
  const missing = [name, token].find((field) => field && !field.value.trim());
  if (missing) {
    problem.textContent = missing === name ? "Say who you are." : "The token is missing.";
    missing.focus();
    return;
  }
  const body = { name: name.value.trim() };
  if (token) body.token = token.value.trim();
  try {
    await post("/api/session", body);
    localStorage.setItem(NAME, body.name);
    const page = location.hash.startsWith("#/random/") ? "random" : "";
    location.replace(`/${page}${location.hash}`);
  } catch (error) {
    problem.textContent = error.message;
    (error.code === "wrong_token" ? token : name)?.focus();
  }
}

takeToken();
name.value ||= localStorage.getItem(NAME) ?? "";
if (name.value && token && !token.value) token.focus();
form.addEventListener("submit", logIn);
form.querySelector("[type=submit]").disabled = false;
