#!/usr/bin/env python3
"""A deliberately wrong target: neighbouring heads are paired whatever is asked for (SPEC 11, trap 1).

With two heads nothing is wrong. `pairedhead verify` must find it and shrink it to four heads.
"""

from paired_attention import pairs_of, paired_attention
from protocol import serve


def neighbours(heads, pairing):
    return pairs_of(heads, "adjacent")


if __name__ == "__main__":
    serve({"attention_paired": lambda inputs, parameters: paired_attention(inputs, parameters, neighbours)})
