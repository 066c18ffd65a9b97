"""``kinograd data``: bring examples in, prove them, build, teach, mix; look after clips.

One module per group of sub-verbs; each imports what it needs when it runs.
"""

from __future__ import annotations

import typer

from kinograd.commands.data import bring, cache, check, proxy, select, teach

app = typer.Typer(no_args_is_help=True)
app.add_typer(cache.app, name="cache")
app.add_typer(proxy.app, name="proxy")
app.command("import")(bring.import_)
app.command()(bring.export)
app.command()(bring.unpack)
app.command()(teach.annotate)
app.command()(select.filter)
app.command()(select.mix)
app.command()(check.validate)
app.command()(check.stats)
app.command()(check.dedup)
app.command()(check.overlap)
