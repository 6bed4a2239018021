"""``cairn model``: the embedding model as a folder that runs without torch."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Prepare embedding models.")


@app.callback()
def _model() -> None:
    """A group with one command for now; typer would swallow its name otherwise."""


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model's name, or the folder of a sentence-transformers model.")],
    folder: Annotated[Path, typer.Argument(help="Where to write it.")],
) -> None:
    """Write an embedding model as a folder that Cairn runs without torch; name it with CAIRN_RETRIEVAL__EMBEDDER."""
    from retrieval.embedding.export import export as export_model

    asyncio.run(asyncio.to_thread(export_model, name, folder))
    typer.echo(f"Wrote {name} to {folder}.")
