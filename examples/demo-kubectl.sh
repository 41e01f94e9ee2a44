# The demo's verbs, by kubectl. Sourced by demo.sh.

kube() { kubectl --kubeconfig "$ORLOP_DATA_DIR/admin.kubeconfig" --cache-dir "$scratch/cache" "$@"; }
shown() { printf '\033[2m$ kubectl %s\033[0m\n' "$*"; kube "$@"; }

apply() { shown apply -f "$1"; }
get() { shown get "$1" "$2"; }
list() { shown get "$1"; }
delete() { shown delete "$1" "$2"; }
logs() { shown logs "$1"; }
logged() { kube logs "$1" | grep -qF "$2"; }
none() { [ -z "$(kube get "$1" --output name)" ]; }
reasons() { shown events --for "$1/$2"; }

wait_phase() {
    kube wait "$1/$2" --for="jsonpath={.status.phase}=$3" --timeout=60s ||
        { kube describe "$1" "$2"; fail "$1 $2 is not $3"; }
}

begin_watching() {
    kube get persistentvolumeclaims --watch >"$scratch/claims" 2>&1 &
    watchers="$watchers $!"
    kube get pods --watch >"$scratch/pods" 2>&1 &
    watchers="$watchers $!"
}

end_watching() {
    kill $watchers 2>/dev/null || true
    wait $watchers 2>/dev/null || true
    watchers=''
    say 'What `kubectl get --watch` printed meanwhile'
    cat "$scratch/claims" "$scratch/pods"
}
