"""The style sheet of the page and the script that sorts its tables; both are inlined: the page loads nothing."""

CSS = """
:root{--paper:#fff;--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--card:#f5f7f9;--c0:#2368a8;--c1:#d2802a;--c2:#3f8f5c;
--c3:#b33a4a;--warn:#9a5b00;--warnbg:#fff3dc}
@media (prefers-color-scheme:dark){:root{--paper:#14181e;--ink:#e6eaf0;--soft:#9aa6b5;--line:#333c48;--card:#1d232b;
--c0:#6cabe6;--c1:#e8a45c;--c2:#74c493;--c3:#e8808e;--warn:#ffcf80;--warnbg:#3a2d12}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:16px}
h1{font-size:1.5rem;margin:.3em 0}h2{font-size:1.15rem;margin:1.8em 0 .5em;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:.2em 0;overflow-wrap:anywhere}p{margin:.3em 0}.soft{color:var(--soft)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px}
.card,.chart{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px;min-width:0}
.card span{display:block}.card span,.chart p{font-size:.87em}.card b{display:block;font-size:1.35rem}
.charts{columns:342px;column-gap:10px}.chart{break-inside:avoid;margin-bottom:10px}
svg{max-width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--ink)}
.axis{stroke:var(--line)}.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}
.key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .8em;border-radius:2px}
i.c0{background:var(--c0)}i.c1{background:var(--c1)}i.c2{background:var(--c2)}i.c3{background:var(--c3)}
.mark{background:var(--warnbg);color:var(--warn);border-radius:4px;padding:1px 6px;font-size:.85em}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92em}
th,td{padding:4px 8px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{white-space:nowrap}td.t{min-width:18em;overflow-wrap:anywhere}th.n{text-align:right}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
th button{font:inherit;font-weight:600;color:inherit;background:none;border:0;padding:0;cursor:pointer;text-align:left}
th[aria-sort=ascending] button::after{content:" \\25B2"}th[aria-sort=descending] button::after{content:" \\25BC"}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0;font-size:.88em}
details{margin:.4em 0}summary{cursor:pointer}
"""

SCRIPT = """
document.querySelectorAll('th button').forEach(function(button){button.addEventListener('click',function(){
var th=button.closest('th'),row=th.parentNode,body=th.closest('table').tBodies[0];
var at=Array.prototype.indexOf.call(row.children,th),down=th.getAttribute('aria-sort')==='ascending';
Array.prototype.forEach.call(row.children,function(each){each.removeAttribute('aria-sort')});
th.setAttribute('aria-sort',down?'descending':'ascending');
function key(tr){var cell=tr.children[at],v=cell.getAttribute('data-v');return v===null?cell.textContent:parseFloat(v)}
Array.prototype.slice.call(body.rows).map(function(tr){return[key(tr),tr]}).sort(function(a,b){
var order=typeof a[0]==='number'&&typeof b[0]==='number'?a[0]-b[0]:String(a[0]).localeCompare(String(b[0]));
return down?-order:order}).forEach(function(pair){body.appendChild(pair[1])})})});
"""
