"""Conversations as long-term memory sees them: runs and messages in the database, with no agent behind them."""

from dataclasses import dataclass, field

from memory.sessions import add_messages, add_session, new_session
from models.messages import Message
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal
from records.schema import runs


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a tool is told of its call."""

    principal: Principal
    run_id: str
    session_id: str
    perhaps_done: bool = False


@dataclass
class Conversation:
    """One session of somebody; each ``say`` is a run."""

    database: Database
    principal: Principal
    session_id: str = field(default="")

    async def say(self, message: str) -> Call:
        """Say something; gives what a tool is told that the run calls, with all earlier runs in the history."""
        async with self.database.write() as connection:
            if not self.session_id:
                session = new_session("talk")
                await connection.execute(add_session(session, self.principal.tenant, self.principal.id))
                self.session_id = session.id
            run_id = new_id()
            values = {"id": run_id, "tenant": self.principal.tenant, "principal": self.principal.id}
            values |= {"session_id": self.session_id, "status": "completed", "model": "test", "config_version": "1"}
            await connection.execute(
                runs.insert().values(**values, request={"message": message}, created_at=now(), fence=0)
            )
            said = [Message(role="user", content=message), Message(role="assistant", content="Well.")]
            for statement in add_messages(self.principal.tenant, self.session_id, run_id, said):
                await connection.execute(statement)
        return Call(principal=self.principal, run_id=run_id, session_id=self.session_id)
