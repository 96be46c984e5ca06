// The page of the platform.

const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`);

const MESSAGES = {
  connected: 'The shop is connected.',
  refused: 'The shop is not connected, because TikTok Shop was not allowed to connect it.',
  'start-again': 'That took too long, or was done already. Please press the button again.',
  'other-browser': 'Please finish in the browser in which you started.',
  'try-again': 'That did not work. Please try again in a minute.',
};

/** Returns the page with the customer's connections and shops. */
export function page({ connections, shops, message }) {
  // The address names the message, so it may also be the name of a member that every object has.
  const note = Object.hasOwn(MESSAGES, message) ? `<p role="status">${MESSAGES[message]}</p>` : '';
  const dead = connections.filter(({ status }) => status === 'reauthorization-required');
  const again = dead.map(({ sellerName }) => `<p>Please connect ${escaped(sellerName)} again.</p>`).join('');
  const list = shops.map(({ id, name, region }) => {
    return `<li>${escaped(name)} (${escaped(region)}): <a href="/shops/${escaped(id)}/orders">orders</a></li>`;
  });
  const disconnect = connections.length
    ? '<form method="post" action="/disconnect"><button>Disconnect TikTok Shop</button></form>'
    : '';
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Platform</title>
<h1>Your shops</h1>${note}${again}
<ul>${list.join('')}</ul>
<form method="post" action="/connect"><button>Connect TikTok Shop</button></form>${disconnect}
</html>`;
}
