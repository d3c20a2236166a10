"""The model catalogue: one typed entry per deployment, and what the list as a whole must keep to."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from deploys.components.litellm import provider_rules as rules
from deploys.components.litellm.providers import Mode, Name, default_mode
from deploys.lib.patterns import URL, worded
from deploys.lib.settings import Secret, Settings

Seconds = Annotated[int, Field(ge=1, le=6000)]
Count = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# The dearest tokens sold cost less than a tenth of this; a price per million or per thousand is far above it.
DEAREST = 0.01
# With a unit: Ollama refuses "30", in quotes, as a duration without one.
DURATION = re.compile(r"-?\d+(\.\d+)?(ms|s|m|h)")


class ModelEntry(Settings):
    """One deployment: a model, where it answers, and how much of it the gateway may use."""

    name: str = Field(
        pattern=rules.NAME,
        description="Name clients use. Entries with the same name are one group that shares its requests.",
    )
    provider: Name = Field(description="Whose protocol the server speaks.")
    mode: Mode | None = Field(
        None, validate_default=True, description="What the model does. Default: what its provider does first."
    )
    model: str = Field(
        pattern=worded(
            r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}$",
            "up to 256 letters, digits and . _ : / @ + -, beginning with a letter or a digit",
        ),
        description="The provider's own name of the model, without LiteLLM's prefix. For Azure, the deployment's.",
    )
    api_base: str | None = Field(
        None,
        validate_default=True,
        repr=False,  # the messages show it themselves, and not when it has a password in it
        description="Where the provider answers, without the path of one function. Default: its public address.",
    )
    api_key: Secret | None = Field(
        None,
        validate_default=True,
        description="Key for the provider, as a reference; `none` for a server that asks for no key.",
    )
    api_version: str | None = Field(
        None,
        validate_default=True,
        pattern=worded(r"^\d{4}-\d{2}-\d{2}(-preview)?$", "a date such as 2024-10-21, with -preview if need be"),
        description="Version of Azure's API, a date.",
    )
    base_model: str | None = Field(
        None,
        validate_default=True,
        pattern=worded(
            r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", "letters, digits and . _ : / -, beginning with a letter or a digit"
        ),
        description="The model behind an Azure deployment as LiteLLM's table of prices has it.",
    )
    keep_alive: str | int | None = Field(
        None, description="How long Ollama keeps the model in memory: `30m`, seconds, or -1 for ever."
    )
    num_ctx: Count | None = Field(None, description="Tokens of context that Ollama loads the model with.")
    context_window: Count | None = Field(
        None, description="Most tokens of a prompt; a longer one goes to a larger model. Default: LiteLLM's table."
    )
    max_output_tokens: Count | None = Field(None, description="Most tokens of an answer, for clients that ask.")
    rpm: Count | None = Field(None, description="Requests per minute and worker; without weights also the share.")
    tpm: Count | None = Field(None, description="Tokens per minute; without weights and rpm also the share.")
    max_parallel_requests: Count | None = Field(
        None, description="Requests in flight per worker; one more is answered 429. Default: rpm, where it is given."
    )
    timeout: Seconds | None = Field(None, description="Seconds a request may take. Default: the gateway's.")
    stream_timeout: Seconds | None = Field(None, description="Seconds between two pieces of a stream.")
    weight: Count | None = Field(None, description="Share of the group's requests, relative to its other entries.")
    order: Count | None = Field(
        None, description="Entries with a lower number are asked first, others when those fail."
    )
    tags: list[Annotated[str, Field(pattern=worded(r"^[\w.:/-]+$", "letters, digits and _ . : / -"))]] = Field(
        default_factory=list,
        description="Added to a request's own tags, for spend; with `litellm_tag_routing` requests choose by them.",
    )
    input_cost_per_token: Price | None = Field(
        None, validate_default=True, description="Price of a prompt's token in dollars. Default: LiteLLM's table."
    )
    output_cost_per_token: Price | None = Field(None, description="Price of an answer's token in dollars.")
    health_check: bool | None = Field(
        None,
        description="Whether background health checks ask the model. Default: only vLLM's; other answers cost money, "
        "or this machine's processors.",
    )
    health_check_timeout: Seconds | None = Field(None, description="Seconds a health check may take. LiteLLM's: 60.")
    id: str | None = Field(
        None,
        pattern=worded(
            r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
            "up to 128 letters, digits and . _ -, beginning with a letter or a digit",
        ),
        description="Name of the deployment in metrics and logs. Default: made of name, provider and address.",
    )

    @property
    def kind(self) -> Mode:
        """The mode, as given or as the provider's default."""
        return self.mode or default_mode(self.provider)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value in rules.RESERVED:
            raise ValueError("means something else to LiteLLM; choose another name")
        return value

    @model_validator(mode="before")
    @classmethod
    def _form(cls, value: Any) -> Any:
        if isinstance(value, dict) and (other := [key for key in rules.FOREIGN if key in value]):
            raise ValueError(f"{' and '.join(other)} {'are' if other[1:] else 'is'} LiteLLM's own form; {rules.OURS}")
        return value

    @field_validator("provider", mode="before")
    @classmethod
    def _provider(cls, value: Any) -> Any:
        if isinstance(value, str):
            _refuse(rules.provider_problem(value))
        return value

    @field_validator("mode", "model")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        if (provider := info.data.get("provider")) and value:
            check = rules.mode_problem if info.field_name == "mode" else rules.model_problem
            _refuse(check(provider, value))
        return value

    @field_validator("api_base")
    @classmethod
    def _address(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider = info.data.get("provider")
        if value is None:
            _missing(rules.base_needed(provider, info.data.get("model", "")) if provider else "")
        elif "@" in value:
            raise ValueError("has a user name or a password in it; give a key as api_key")
        elif not re.fullmatch(URL, value):
            raise ValueError(f"{value!r} is not an address; it begins with http:// or https://")
        elif provider:
            _refuse(rules.base_problem(provider, value))
        return value

    @field_validator("api_key", mode="before")
    @classmethod
    def _key(cls, value: Any, info: ValidationInfo) -> Any:
        none = value == "none"
        if provider := info.data.get("provider"):
            mode = info.data.get("mode") or default_mode(provider)
            given = value is not None and not none
            _missing(rules.key_problem(provider, mode, given, none, info.data.get("api_base") or ""))
        return None if none else value

    @field_validator("keep_alive", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        good = DURATION.fullmatch(value) if isinstance(value, str) else isinstance(value, int) and value >= -1
        if value is not None and (not good or isinstance(value, bool)):
            raise ValueError("is neither a duration with a unit, such as '30m', nor a number of seconds, -1 for ever")
        return value

    @field_validator(
        "api_version", "base_model", "keep_alive", "num_ctx", "context_window", "max_output_tokens", "stream_timeout",
        "input_cost_per_token", "output_cost_per_token",
    )  # fmt: skip
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        if provider := info.data.get("provider"):
            mode = info.data.get("mode") or default_mode(provider)
            problem = rules.field_problem(provider, mode, str(info.field_name), value is not None)
            (_refuse if value is not None else _missing)(problem)
        return value

    @field_validator("input_cost_per_token", "output_cost_per_token")
    @classmethod
    def _price(cls, value: float | None) -> float | None:
        if value is not None and value > DEAREST:
            raise ValueError("is dollars for one token; a price of 3 dollars for a million tokens is 0.000003")
        return value

    @model_validator(mode="after")
    def _together(self) -> ModelEntry:
        prices = [self.input_cost_per_token is None, self.output_cost_per_token is None]
        if self.kind in ("chat", "completion") and len(set(prices)) > 1:
            raise ValueError("input_cost_per_token and output_cost_per_token go together; the other would count as 0")
        if self.num_ctx and self.context_window and self.context_window > self.num_ctx:
            raise ValueError(
                f"context_window {self.context_window} is more than num_ctx {self.num_ctx}, and Ollama cuts longer "
                "prompts without a word"
            )
        return self


def _refuse(problem: str) -> None:
    if problem:
        raise ValueError(problem)


def _missing(problem: str) -> None:
    """Refuse without showing what was given: there is nothing to show, or it may be a secret."""
    if problem:
        raise PydanticCustomError("missing", "{problem}", {"problem": problem})
