// Copying works on plain http too: navigator.clipboard exists only in secure contexts, document.execCommand everywhere.

/** True when the text is on the clipboard; false: show it selected, so that Ctrl-C does it. */
export async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard && isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by permission or focus: the old way may still be allowed.
    }
  }
  return copyBySelection(text);
}

function copyBySelection(text: string): boolean {
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  const area = document.createElement('textarea');
  area.value = text;
  area.readOnly = true;
  area.setAttribute('aria-hidden', 'true');
  area.style.position = 'fixed';
  area.style.top = '0';
  area.style.left = '0';
  area.style.opacity = '0';
  // Inside the open dialog, whose focus trap would otherwise take the focus back before the copy.
  const host = focused?.closest('[role="dialog"],[role="alertdialog"]') ?? document.body;
  host.append(area);
  area.focus({ preventScroll: true });
  area.select();
  let done = false;
  try {
    done = document.execCommand('copy');
  } catch {
    done = false;
  }
  area.remove();
  focused?.focus({ preventScroll: true });
  return done;
}
