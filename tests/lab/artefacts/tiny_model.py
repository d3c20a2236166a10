"""Writes a tiny but valid GGUF whose answer is known in advance.

Attention and feed-forward outputs are almost zero, so the residual stream is the embedding of the last
token, and the output head is a table of the next token. From `<|assistant|>`, where the chat template ends,
the table spells SENTENCE and then the end; any other last token leads to its first word as well.
Embeddings still differ by input.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

SENTENCE = "Hello from the tiny test model ."
WIDTH, LAYERS, CONTEXT, HEADS, KV_HEADS = 64, 2, 8192, 4, 2
# Enough common words that prompts have fewer tokens than letters.
# fmt: off
WORDS = [
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "for", "from", "has", "have", "I", "in", "is",
    "it", "not", "of", "on", "or", "ping", "reply", "say", "so", "that", "the", "this", "to", "user", "was", "we",
    "what", "why", "will", "with", "you", "your", "server", "model", "test", "tiny", "hello", "Hello", "database",
    "error", "cache", "python", "redis", "postgres", "cat", "dog", "sky", "blue",
]
# fmt: on
SPECIALS = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    keep = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in keep else chr(next(others)) for byte in range(256)]


def _vocabulary() -> tuple[list[str], list[str], list[int]]:
    """Tokens, merges and token types."""
    tokens, merges = _byte_alphabet(), []
    seen = set(tokens)
    spelled = WORDS + SENTENCE.split()
    for word in dict.fromkeys([*spelled, *("Ġ" + w for w in spelled)]):
        for length in range(2, len(word) + 1):
            if word[:length] not in seen:
                merges.append(f"{word[: length - 1]} {word[length - 1]}")
                tokens.append(word[:length])
                seen.add(word[:length])
    types = [int(gguf.TokenType.NORMAL)] * len(tokens) + [int(gguf.TokenType.CONTROL)] * len(SPECIALS)
    return tokens + SPECIALS, merges, types


def _table(ids: dict[str, int], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The embeddings, and the output head that spells the sentence."""
    embedding = rng.standard_normal((len(ids), WIDTH)).astype(np.float32)
    embedding[:, 0] = 0
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    embedding[:, 0] = 1.0  # the same constant for every token
    first, *rest = SENTENCE.split()
    chain = [ids["<|assistant|>"], ids[first], *(ids["Ġ" + word] for word in rest)]
    if len(set(chain)) != len(chain):
        raise ValueError("each word of the sentence may appear only once")
    head = np.zeros((len(ids), WIDTH), np.float32)
    head[chain[1], 0] = 3.0  # the default: begin the sentence
    for current, following in zip(chain, [*chain[1:], ids["<|end|>"]], strict=True):
        head[following, 1:] += 10.0 * embedding[current, 1:]
    return embedding, head


def write(path: Path, name: str = "tiny-test") -> None:
    """Write the model; the same bytes every time."""
    rng = np.random.default_rng(20260101)
    tokens, merges, types = _vocabulary()
    ids = {token: number for number, token in enumerate(tokens)}
    embedding, head = _table(ids, rng)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDTH * 2)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_eos_token_id(ids["<|end|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    _add_tensors(writer, embedding, head, rng)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensors(
    writer: gguf.GGUFWriter,
    embedding: NDArray[np.float32],
    head: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    def noise(rows: int, columns: int, scale: float = 0.02) -> NDArray[np.float16]:
        return (rng.standard_normal((rows, columns)) * scale).astype(np.float16)

    ones, kv_width, inner = np.ones(WIDTH, np.float32), KV_HEADS * WIDTH // HEADS, WIDTH * 2
    writer.add_tensor("token_embd.weight", embedding.astype(np.float16))
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", head.astype(np.float16))
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        writer.add_tensor(prefix + "attn_norm.weight", ones)
        writer.add_tensor(prefix + "attn_q.weight", noise(WIDTH, WIDTH))
        writer.add_tensor(prefix + "attn_k.weight", noise(kv_width, WIDTH))
        writer.add_tensor(prefix + "attn_v.weight", noise(kv_width, WIDTH))
        writer.add_tensor(prefix + "attn_output.weight", noise(WIDTH, WIDTH, 1e-3))
        writer.add_tensor(prefix + "ffn_norm.weight", ones)
        writer.add_tensor(prefix + "ffn_gate.weight", noise(inner, WIDTH))
        writer.add_tensor(prefix + "ffn_up.weight", noise(inner, WIDTH))
        writer.add_tensor(prefix + "ffn_down.weight", noise(WIDTH, inner, 1e-3))
