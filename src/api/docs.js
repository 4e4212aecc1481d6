const field = document.querySelector("input");
const words = new Map([...document.querySelectorAll("details")].map(d => [d, d.textContent.toLowerCase()]));
function search() {
  const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [d, text] of words) d.hidden = !wanted.every(w => text.includes(w));
  for (const s of document.querySelectorAll("section")) s.hidden = !s.querySelector("details:not([hidden])");
}
function open() {
  const d = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (d) { d.open = true; d.scrollIntoView(); }
}
field.addEventListener("input", search);
addEventListener("hashchange", open);
addEventListener("keydown", e => { if (e.key === "/" && e.target !== field) { e.preventDefault(); field.focus(); } });
search();
open();
