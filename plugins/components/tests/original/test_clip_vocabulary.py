"""CLIP's tokenizer, as the package makes it."""

from __future__ import annotations

import hashlib
import json

from autopipe_components.original.clip_vocabulary import clip_tokenizer, clip_vocabulary


def test_a_vocabulary_follows_from_its_merges() -> None:
    found = clip_vocabulary("#version: 0.2\na t</w>\nc at</w>\n")
    assert len(found) == 2 * 256 + 2 + 2
    assert (found["!"], found["Ā"], found["!</w>"]) == (0, 188, 256)
    assert (found["at</w>"], found["cat</w>"]) == (512, 513)
    assert (found["<|startoftext|>"], found["<|endoftext|>"]) == (514, 515)


def test_it_is_the_published_one() -> None:
    files = clip_tokenizer("tokenizer", "!")
    assert sorted(files) == [
        f"tokenizer/{n}" for n in ("merges.txt", "tokenizer_config.json", "vocab.json")
    ]
    vocabulary = json.loads(files["tokenizer/vocab.json"]())
    assert len(vocabulary) == 49408
    # Published ids: https://huggingface.co/openai/clip-vit-large-patch14
    assert (vocabulary["cat</w>"], vocabulary["astronaut</w>"]) == (2368, 18376)
    ordered = json.dumps(dict(sorted(vocabulary.items(), key=lambda item: item[1])))
    assert hashlib.sha256(ordered.encode()).hexdigest() == SHA
    assert files["tokenizer/tokenizer_config.json"]["pad_token"] == "!"


SHA = "b2db6d8e7a8e910836896302bc25e3fa3b9a2e0c56eaeb1ff9d56d69cf5bbd46"
"""Of the published `vocab.json`, in the order of the ids, as Python writes it."""
