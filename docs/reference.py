"""Writes the API reference as HTML: a page for each public name, grouped as in docs/names.md.

    pip install '.[docs]' && python docs/reference.py reference

MXNet must be installed, too. Then open reference/index.html.
"""
from __future__ import annotations

import html
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mxrnn  # noqa: E402

try:
    from pdoc import docstrings, render_helpers
except ImportError:
    sys.exit("docs/reference.py needs pdoc: pip install '.[docs]'")

NAMES = Path(__file__).with_name('names.md')

STYLE = '''
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff }
.page { display: flex; max-width: 75rem; margin: auto }
nav { flex: 0 0 15rem; padding: 1rem; font-size: 0.9rem; border-right: 1px solid #ddd }
nav a { display: block; padding: 0.1rem 0; overflow-wrap: anywhere }
nav summary { font-weight: bold; cursor: pointer }
main { flex: 1; min-width: 0; padding: 1rem 2rem 4rem }
a { color: #0b57a4; text-decoration: none }
a:hover { text-decoration: underline }
h1 { font-size: 1.6rem; overflow-wrap: anywhere }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; font-size: 1.2rem }
h6 { font-size: 1rem; margin: 1.2rem 0 0.3rem }
code, pre { font: 0.9em ui-monospace, monospace; background: #f4f5f7; border-radius: 3px }
code { padding: 0.05em 0.25em; overflow-wrap: anywhere }
pre { padding: 0.7rem; overflow-x: auto }
pre code { padding: 0; overflow-wrap: normal }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0;
         border-bottom: 1px solid #eee }
.math { font: italic 1.05rem/1.9 Georgia, serif; background: none; padding: 0; overflow-x: auto }
.signature { white-space: pre-wrap; overflow-wrap: anywhere }
ul { padding-left: 1.2rem }
@media (max-width: 45rem) {
  .page { display: block }
  nav { border: 0; border-bottom: 1px solid #ddd }
  main { padding: 1rem }
  table, tbody, tr, td { display: block }
  thead { display: none }
  td { border: 0 }
  tr { border-bottom: 1px solid #eee; padding: 0.3rem 0 }
}
'''


PAGE = '''<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>%s</style>
</head>
<body>
<div class="page">
<nav>
<p><a href="index.html"><b>mxrnn</b></a></p>
<details><summary>All names</summary>
%s
</details>
</nav>
<main>
%s
</main>
</div>
<script>if (innerWidth > 720) document.querySelector('details').open = true</script>
</body>
</html>
'''


def public_names() -> list[str]:
    """Names in the order of docs/names.md, then what modules have besides."""
    first = re.findall(r'^\| (`.*?) \|', NAMES.read_text(encoding='utf-8'), re.MULTILINE)
    listed = re.findall(r'`([A-Za-z_][\w.]*)', ' '.join(first))
    listed += ['interop.' + name for name in mxrnn.interop.__all__]
    return [name for name in dict.fromkeys(listed) if name != 'mx' and found(name) is not None]


def found(name: str) -> Any:
    value: Any = mxrnn
    for part in name.split('.'):
        value = getattr(value, part, None)
    return value


class Reference:
    """All pages; `names` have one each."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._short = {name.rpartition('.')[2]: name for name in reversed(names)}

    def page(self, name: str) -> str:
        """The page of a name."""
        value = found(name)
        title = 'mxrnn.' + name
        if not inspect.isclass(value):
            return self._layout(title, self._section('h1', title, value))
        parts = [self._section('h1', title, value)]
        inherited: dict[str, list[str]] = {}
        own = self._own(name)
        for member, raw in sorted(_members(value).items()):
            if member in own:
                parts.append(self._section('h2', member, raw))
            else:
                owner = next(kind for kind in value.__mro__ if member in vars(kind))
                inherited.setdefault(self._short[owner.__name__], []).append(member)
        for other, members in inherited.items():
            links = ', '.join('<a href="%s.html#%s">%s</a>' % (other, member, member)
                              for member in members)
            parts.append('<p>From <a href="%s.html">%s</a>: %s</p>' % (other, other, links))
        return self._layout(title, '\n'.join(parts))

    def index(self) -> str:
        """The first page: what the package is, and the tables of docs/names.md."""
        doc = self._markdown(inspect.getdoc(mxrnn) or '')
        tables = render_helpers.to_html(NAMES.read_text(encoding='utf-8'))
        tables = re.sub(r'<a href="[^"]*\.md(?:#[^"]*)?">(.*?)</a>', r'\1', tables)
        return self._layout('mxrnn %s' % mxrnn.__version__,
                            '<h1>mxrnn %s</h1>\n' % mxrnn.__version__
                            + self._linked(doc + re.sub('h1', 'h2', tables)))

    def _own(self, name: str) -> list[str]:
        """The members of a class that its page shows, and does not refer to another page for."""
        value, own = found(name), []
        for member in _members(value):
            owner = next(kind for kind in value.__mro__ if member in vars(kind))
            other = self._short.get(owner.__name__)
            if owner is value or other is None or found(other) is not owner:
                own.append(member)
        return sorted(own)

    def _section(self, level: str, title: str, value: Any) -> str:
        heading = '<%s id="%s">%s</%s>' % (level, html.escape(title), html.escape(title), level)
        doc = inspect.getdoc(value) or ''
        return '\n'.join([heading, _signature(title, value), self._linked(self._markdown(doc))])

    def _markdown(self, doc: str) -> str:
        doc = re.sub(r'(?m)^\.\. math::(.*\n(?:    .*\n)*)', _equations, doc + '\n')
        doc = re.sub(r'(?s)``(.+?)``', r'`\1`', doc)
        # Examples stand apart from the text around them, also behind a heading.
        doc = re.sub(r'(?m)^(?!>>> |\.\.\. )(.*\S.*)\n(?=>>> )', r'\1\n\n', doc)
        doc = docstrings.convert(doc, 'numpy', None)
        doc = re.sub(r'(?m)^(#+ .*)\n(?=\S)', r'\1\n\n', doc)
        return str(render_helpers.to_html(doc))

    def _linked(self, text: str) -> str:
        """Names in code become links to their pages."""
        def link(match: re.Match[str]) -> str:
            head, _, member = match[1].rpartition('.')
            name, anchor = self._short.get(match[1], match[1]), ''
            if name not in self.names:
                name, anchor = self._short.get(head, head), '#' + member
            if name not in self.names:
                return match[0]
            if anchor and not (inspect.isclass(found(name)) and member in self._own(name)):
                return match[0]
            return '<a href="%s.html%s">%s</a>' % (name, anchor, match[0])
        return re.sub(r'<code>([\w.]+)(?:\([^<]*\))?</code>', link, text)

    def _layout(self, title: str, body: str) -> str:
        links = '\n'.join('<a href="%s.html">%s</a>' % (name, name) for name in self.names)
        style = STYLE + render_helpers.formatter.get_style_defs('.pdoc-code')
        return PAGE % (html.escape(title), style, links, body)


#: Of the TeX in docstrings, what HTML writes otherwise.
TEX = {r'(?<!\\\\)\n': ' ', r' *\\\\\n': '\n', '&=': '=', r'\\quad': '   ',
       r'\\mathrm\{(.*?)\}': r'\1', r'\\circ': '∘', r'\\sigma': 'σ', r'\\tanh': 'tanh',
       r'\\gamma': 'γ', r'\\beta': 'β', r'\\sim': '∼', r'\\leftarrow': '←',
       r'_\{(.*?)\}': r'<sub>\1</sub>', r'_(\w)': r'<sub>\1</sub>',
       r'\^\{(.*?)\}': r'<sup>\1</sup>', r'\^(\w)': r'<sup>\1</sup>',
       r'\\sqrt\{(.*?)\}': r'√(\1)'}


def _equations(match: re.Match[str]) -> str:
    """The equations of a docstring as HTML."""
    text = '\n'.join(line.strip() for line in match[1].splitlines() if line.strip())
    text = html.escape(text, quote=False).replace('&amp;=', '&=')
    for tex, other in TEX.items():
        text = re.sub(tex, other, text)
    if '\\' in text:
        raise SystemExit('docs/reference.py has no HTML for the TeX in: ' + text)
    return '<pre class="math">%s</pre>\n' % text


def _members(value: type) -> dict[str, Any]:
    """Public methods and properties that mxrnn defines."""
    members: dict[str, Any] = {}
    for kind in value.__mro__:
        if kind.__module__.startswith('mxrnn') or kind is value:
            for name, raw in vars(kind).items():
                if not name.startswith('_') and inspect.getdoc(getattr(value, name)):
                    if callable(raw) or isinstance(raw, (property, classmethod, staticmethod)):
                        members.setdefault(name, raw)
    if '__call__' in dir(value) and not issubclass(value, BaseException):
        call = next((vars(kind)['__call__'] for kind in value.__mro__
                     if '__call__' in vars(kind) and kind.__module__.startswith('mxrnn')), None)
        if call is not None and call.__doc__:
            members['__call__'] = call
    return members


def _signature(title: str, value: Any) -> str:
    if isinstance(value, property):
        return ''
    value = getattr(value, '__func__', value)
    try:
        signature = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ''
    signature = re.sub(r"(?<![\w'])'([^']*)'(?=[,)\]]| =| \||$)", _unquoted, signature)
    signature = re.sub(r'\bmxrnn\._\w+\.[\w.]*?(\w+)(?=[^\w.])', r'\1', signature)
    signature = re.sub(r'^\((self|cls)(, /)?(, )?', '(', signature)
    if inspect.isclass(value):
        signature = signature.rpartition(' -> ')[0] or signature
    text = title.rpartition('.')[2] + signature.replace('_check.', '')
    if len(text) > 88:
        text = re.sub(r', (?=\*{0,2}\w+(?:[:=]| =|,|\)))', ',\n    ', text)
    return '<pre class="signature"><code>%s</code></pre>' % html.escape(text)


def _unquoted(match: re.Match[str]) -> str:
    """An annotation without its quotation marks; defaults keep theirs."""
    before = match.string[:match.start()]
    return match[1] if re.search(r'(: |-> )$', before) else match[0]


def build(folder: Path) -> list[Path]:
    """Write all pages into a folder; return their paths."""
    names = public_names()
    missing = set(mxrnn.__all__) - set(names) - {'rnn_cell', 'rnn', 'io', 'init', 'interop'}
    if missing:
        raise SystemExit('docs/names.md lacks %s' % ', '.join(sorted(missing)))
    reference = Reference(names)
    folder.mkdir(parents=True, exist_ok=True)
    pages = {'index.html': reference.index(),
             **{name + '.html': reference.page(name) for name in names}}
    for name, text in pages.items():
        (folder / name).write_text(text, encoding='utf-8')
    return [folder / name for name in pages]


if __name__ == '__main__':
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        sys.exit((__doc__ or '').strip())
    os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')
    print('%d pages: %s' % (len(build(Path(sys.argv[1]))), Path(sys.argv[1]) / 'index.html'))
