#!/usr/bin/env bash
# From recorded people to a model: LibriSpeech and, where given, VCTK and speechocean762.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly STAGES=(- prepare train encode "reconstruct and convert" judge report)

usage() {
    cat <<'HELP'
usage: bash recipes/librispeech/run.sh --libri-root DIR [options] [-- --SECTION.KEY VALUE …]

stages:
  1  prepare                  the corpora become joined manifests     DIR/data/
  2  train                    a model; goes on where it was stopped   DIR/vqvae/
  3  encode                   codes of train, valid and test          DIR/codes/
  4  reconstruct and convert  held-out sentences to listen to         DIR/wavs/
  5  judge                    scores of held-out and strange people   DIR/conversion/
  6  report                   all of it on one page                   DIR/report/index.html

options:
  --libri-root DIR        LibriSpeech: the folder that holds train-clean-100 and others, or one of them
  --vctk-root DIR         VCTK, 0.80 or 0.92, to learn from, too
  --speechocean-root DIR  speechocean762, to learn from, too
  --strangers-root DIR    people to judge on, whom the model does not learn from: LibriSpeech's
                          test-clean, or any corpus that speechvq-prepare reads
  --only DIR              of each corpus only the utterances that DIR/CORPUS.txt lists, such as the
                          selection in recipes/librispeech/lists
  --targets NAMES         voices that conversions are judged in: p225,19 (default: the eight with the
                          most utterances to learn from)
  --stage N               begin with stage N (default: 1)
  --stop-stage N          end with stage N (default: 6)
  --conf FILE             settings of model and training, or a name in conf/ (default: conf/real.yaml)
  --exp-dir DIR           where the results go (default: exp/librispeech in the working folder)
  --n-gpus N              GPUs to train on (default: one if there is one, else the CPU)
  --help                  this text
  -- …                    everything after goes to speechvq-train: -- --stages.codes.steps 3000

The environment variable PYTHON names the Python to use (default: python3).
HELP
}

source "$HERE/../common.sh"

stage=1 stop_stage=6 conf=real.yaml exp=exp/librispeech n_gpus='' only='' strangers='' targets='' overrides=()
kinds=() roots=()
while (($#)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --) shift && overrides=("$@") && break ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
        --libri-root | --vctk-root | --speechocean-root | --strangers-root | --only)
            need_value "$@"
            [[ -d $2 ]] || fail "$1 $2: no such folder"
            case $1 in
                --libri-root) kinds+=(librispeech) roots+=("$2") ;;
                --vctk-root) kinds+=(vctk) roots+=("$2") ;;
                --speechocean-root) kinds+=(speechocean762) roots+=("$2") ;;
                --strangers-root) strangers=$2 ;;
                --only) only=${2%/} ;;
            esac
            shift 2
            ;;
        --stage | --stop-stage | --conf | --exp-dir | --n-gpus) take "$@" && shift 2 ;;
        --targets) need_value "$@" && targets=$2 && shift 2 ;;
        *) fail "unknown option '$1' (see --help; settings of the training go after --)" ;;
    esac
done

need_stages
conf=$(settings --conf "$conf" conf) || exit
((stage > 1 || ${#kinds[@]})) || fail "no corpus; give --libri-root DIR (see --help)"
for kind in ${kinds[@]+"${kinds[@]}"}; do
    [[ -z $only || -f $only/$kind.txt ]] || fail "--only $only: no $kind.txt in it"
done
find_python
mkdir -p "$exp" 2>/dev/null || fail "--exp-dir $exp: cannot be made"
data=$exp/data model=$exp/vqvae

if wanted 1; then
    begin 1 "${kinds[*]} to manifests"
    for i in "${!kinds[@]}"; do
        list=()
        [[ -z $only ]] || list=(--only "$only/${kinds[i]}.txt")
        prepare "$data/${kinds[i]}" "${roots[i]}" --corpus "${kinds[i]}" \
            "$(how_to_read "${roots[i]}")" ${list[@]+"${list[@]}"}
    done
    for kind in "${kinds[@]}"; do cat "$data/$kind/roots.txt"; done >"$data/roots.txt"
    for part in train valid test; do # no id and no speaker's name is in two of these corpora
        for kind in "${kinds[@]}"; do cat "$data/$kind/$part.jsonl"; done >"$data/$part.jsonl"
    done
    [[ -z $strangers ]] || prepare "$data/strangers" "$strangers" "$(how_to_read "$strangers")" --valid 0 --test 0
    end "$data/{train,valid,test}.jsonl"
fi

if wanted 2; then train_model; fi
if wanted 3; then encode_parts; fi
if wanted 4; then listen; fi

if wanted 5; then
    begin 5 "what judges hear of conversions and recordings"
    need "$model/model.safetensors" 2
    for part in train test; do need "$data/$part.jsonl" 1; done
    [[ -n $targets ]] || targets=$(grep -o '"speaker": "[^"]*"' "$data/train.jsonl" | LC_ALL=C sort |
        uniq -c | sort -rn -s -k 1,1 | sed -n '1,8p' | cut -d '"' -f 4)
    groups=("held-out=$data/test.jsonl")
    [[ ! -e $data/strangers/train.jsonl ]] || groups+=("strangers=$data/strangers/train.jsonl")
    run analyze conversion --model "$model" --manifest "${groups[@]}" --targets "$data/train.jsonl" \
        --speaker ${targets//,/ } --out "$exp/conversion"
    end "$exp/conversion/"
fi

if wanted 6; then report 6; fi

finish
