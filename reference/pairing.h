#pragma once

namespace pairedhead {

// Who attends with whom (SPEC §3.7, §15). `none` is plain attention: each head alone.
//   strided   the record: head h and (h + H/2) mod H share one softmax, flat row r = h div (H/2)
//   adjacent  head h and h xor 1, flat row r = h mod 2
enum class Pairing { none, strided, adjacent };

}  // namespace pairedhead
