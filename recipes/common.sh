# shellcheck shell=bash
# What the recipes share: mistakes, settings, the Python to use, stages. A recipe's run.sh sources it
# with HERE, its folder, and STAGES, the names of its stages from 1 on.

RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    echo "run.sh: error: $*" >&2
    exit 2
}

need_value() { # all that is left of the command line
    (($# > 1)) || fail "$1 needs a value (see --help)"
    [[ -n $2 && $2 != --* ]] || fail "$1 needs a value, got '$2' (see --help)"
}

take() { # option, value: an option of every recipe
    need_value "$@"
    case $1 in
        --stage) stage=$2 ;;
        --stop-stage) stop_stage=$2 ;;
        --conf) conf=$2 ;;
        --exp-dir) exp=${2%/} ;;
        --n-gpus) n_gpus=$2 ;;
    esac
}

need_number() { # option, value, lowest, highest
    if ! [[ $2 =~ ^[0-9]{1,4}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        fail "$1 must be a whole number from $3 to $4, got '$2'"
    fi
}

need_stages() { # of stage, stop_stage and n_gpus
    local last=$((${#STAGES[@]} - 1))
    need_number --stage "$stage" 1 "$last"
    need_number --stop-stage "$stop_stage" 1 "$last"
    [[ -z $n_gpus ]] || need_number --n-gpus "$n_gpus" 0 1024
    stage=$((10#$stage)) stop_stage=$((10#$stop_stage)) n_gpus=${n_gpus:+$((10#$n_gpus))}
    ((stage <= stop_stage)) || fail "--stage $stage comes after --stop-stage $stop_stage"
}

settings() { # option, file or name in a folder, that folder
    if [[ -f $2 ]]; then
        echo "$2"
    elif [[ -f $HERE/$3/$2 ]]; then
        echo "$HERE/$3/$2"
    else
        fail "$1 $2: no such file; $3/ has: $(cd "$HERE/$3" && echo *.yaml)"
    fi
}

find_python() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "no $python on the PATH; install Python 3.11 or newer"
    missing=$("$python" - <<'CHECK' 2>&1
import importlib.util as u
names = "speechvq torch numpy tensorboard librosa soundfile soxr yaml safetensors numba scipy sklearn matplotlib tqdm"
names += " jinja2 markdown_it"  # the extra "report"
print(*[name for name in names.split() if u.find_spec(name) is None])
CHECK
    ) || fail "$python does not work: $missing"
    [[ -z $missing ]] || fail "$python has no $missing; install them with: $python -m pip install '$(dirname "$RECIPES")[report]'"
}

run() { "$python" -m "speechvq.cli.$1" "${@:2}"; }

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

begin() { # stage, what it does
    running=$1 began=$SECONDS
    printf '\n== stage %d of %d, %s: %s\n' "$1" $((${#STAGES[@]} - 1)) "${STAGES[$1]}" "$2"
}

end() { # where the result lies
    printf '== stage %d done in %s: %s\n' "$running" "$(clock $((SECONDS - began)))" "$1"
    running=''
}

need() { # file, stage that makes it
    [[ -e $1 ]] || fail "stage $running needs $1; run stage $2 (${STAGES[$2]}) first: --stage $2"
}

running=''
stopped() {
    local code=$?
    if ((code)) && [[ -n $running ]]; then
        echo "run.sh: stage $running (${STAGES[$running]}) stopped; go on with --stage $running" >&2
    fi
}
trap stopped EXIT

wanted() { ((stage <= $1 && $1 <= stop_stage)); }

how_to_read() { # root of a corpus: every file, so that a damaged or silent one is left out
    if [[ -d $1/wav48 && ! -d $1/wav48_silence_trimmed ]]; then
        echo --trim # VCTK 0.80
    else
        echo --check
    fi
}

prepare() { # folder of the manifests, root of the corpus, options
    local before=$1/train.jsonl.before
    [[ ! -e $1/train.jsonl ]] || mv "$1/train.jsonl" "$before"
    # Written even where recordings cannot be used, which are named
    if run prepare "$2" --out "$1" "${@:3}" || [[ -s $1/train.jsonl ]]; then
        rm -f "$before"
    else
        [[ ! -e $before ]] || mv "$before" "$1/train.jsonl"
        exit 2
    fi
}

train_model() {
    begin 2 "a model by $conf"
    need "$data/train.jsonl" 1
    local train=(--config "$conf" --data.train "$data/train.jsonl" --data.valid "$data/valid.jsonl"
        --data.test "$data/test.jsonl" --out "$model" --resume ${overrides[@]+"${overrides[@]}"})
    if ((${n_gpus:-0} > 0)); then
        local there
        there=$("$python" -c 'import torch; print(torch.cuda.device_count())')
        ((n_gpus <= there)) || fail "--n-gpus $n_gpus: this machine has $there; take so many, or 0 for the CPU"
    fi
    case ${n_gpus:-auto} in
        auto) run train "${train[@]}" ;;
        0) run train "${train[@]}" --device cpu ;;
        1) run train "${train[@]}" --device cuda ;;
        *) "$python" -m torch.distributed.run --standalone --nproc_per_node "$n_gpus" \
            -m speechvq.cli.train "${train[@]}" --device cuda ;;
    esac
    end "$model (README.md there tells about it, metrics.jsonl has every number)"
}

encode_parts() {
    begin 3 "every utterance to codes"
    need "$model/model.safetensors" 2
    local part
    for part in train valid test; do
        need "$data/$part.jsonl" 1
        run encode --model "$model" --manifest "$data/$part.jsonl" --out "$exp/codes/$part.txt"
    done
    end "$exp/codes/{train,valid,test}.txt"
}

listen() {
    begin 4 "held-out sentences, in the same voice and in others"
    need "$model/model.safetensors" 2
    need "$data/test.jsonl" 1
    "$python" "$RECIPES/vctk/listen.py" --model "$model" --manifest "$data/test.jsonl" --out "$exp/wavs"
    end "$exp/wavs/*.wav"
}

report() { # its stage
    begin "$1" "sounds, codes and scores on one page"
    need "$model/model.safetensors" 2
    run report "$model" --out "$exp/report"
    end "$exp/report/index.html (opens from disk, in any browser)"
}

finish() {
    printf '\nStages %d to %d took %s.\n' "$stage" "$stop_stage" "$(clock $SECONDS)"
    if ((stop_stage >= 4)) && compgen -G "$exp/wavs/*-original.wav" >/dev/null; then
        local first
        first=$(compgen -G "$exp/wavs/*-original.wav" | sort | head -n 1)
        echo "Listen to $first, then to its -reconstruction.wav and its -to-SPEAKER.wav"
        ((stop_stage < ${#STAGES[@]} - 1)) || echo "or open $exp/report/index.html, which has them all."
    fi
}
