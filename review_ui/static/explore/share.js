// Taking pictures and links along.

import { dialog } from "../dialogs.js";
import { el } from "../dom.js";
import { toast } from "../toasts.js";
import { addressOf } from "./pictures.js";

/** Copy the address of what is seen. */
export async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("Copied: this link shows the same again");
  } catch {
    // Pages that come by plain HTTP from another machine may not.
    const field = el("input", { type: "text", readonly: true, value: location.href, autofocus: true, aria: { label: "Link" } });
    dialog("Copy this link", field, { className: "dialog-small" });
    field.select();
  }
}

/** Point a link at the PNG of a picture. */
export function pointAtPng(link, source, what) {
  link.href = addressOf(source, what, { form: "png", rush: true });
}
