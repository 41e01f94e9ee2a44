# The demo's verbs, by nothing but curl over the unix socket. Sourced by demo.sh.

api() { curl --silent --show-error --fail-with-body --unix-socket "$ORLOP_DATA_DIR/api.sock" "$@"; }

# Path of a collection: cluster-scoped kinds, storage kinds, and the rest in namespace default.
collection() {
    case $1 in
        persistentvolumes | nodes) echo "http://orlop/api/v1/$1" ;;
        storageclasses | volumeattachments) echo "http://orlop/apis/storage.k8s.io/v1/$1" ;;
        *) echo "http://orlop/api/v1/namespaces/default/$1" ;;
    esac
}

# The collection that a manifest belongs to, from its `kind:` line.
home_of() {
    case $(sed -n 's/^kind: *//p' "$1") in
        StorageClass) collection storageclasses ;;
        PersistentVolumeClaim) collection persistentvolumeclaims ;;
        Pod) collection pods ;;
    esac
}

told() { printf '\033[2m$ curl --unix-socket $ORLOP_DATA_DIR/api.sock %s\033[0m\n' "$*"; }
phase() { api "$(collection "$1")/$2" | sed -n 's/.*"status":{.*"phase":"\([A-Za-z]*\)".*/\1/p'; }

apply() {
    told "-H 'Content-Type: application/yaml' --data-binary @${1##*/} $(home_of "$1")"
    api -H 'Content-Type: application/yaml' --data-binary "@$1" "$(home_of "$1")" >"$scratch/answer" ||
        fail "$(cat "$scratch/answer")"
    echo "created"
}
# What kubectl prints as columns is a Table on the wire; its rows are shown here as they come.
table() {
    told "-H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io' $1?includeObject=None"
    api -H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io' "$1?includeObject=None" |
        grep -o '"cells":\[[^]]*\]' | sed 's/"cells":\[//; s/\]$//; s/"//g; s/,/  /g' || echo '(none)'
}
get() { table "$(collection "$1")/$2"; }
list() { table "$(collection "$1")"; }
delete() {
    told "-X DELETE $(collection "$1")/$2"
    api -X DELETE "$(collection "$1")/$2" >/dev/null
    until_true 60 "$1 $2 going away" gone "$1" "$2"
    echo "deleted"
}
gone() { ! api "$(collection "$1")/$2"; }
logs() { told "$(collection pods)/$1/log"; api "$(collection pods)/$1/log"; }
logged() { api "$(collection pods)/$1/log" | grep -qF "$2"; }
none() { ! api "$(collection "$1")" | grep -q '"uid"'; }
reasons() {
    told "$(collection events)?fieldSelector=involvedObject.name=$2"
    api "$(collection events)?fieldSelector=involvedObject.name=$2" | grep -o '"message":"[^"]*"' || true
}
is_phase() { [ "$(phase "$1" "$2")" = "$3" ]; }
wait_phase() { until_true 60 "$1 $2 becoming $3" is_phase "$1" "$2" "$3"; echo "$1/$2 is $3"; }
begin_watching() { :; }
end_watching() { :; }
