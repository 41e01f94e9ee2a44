//! What kubectl looks for in the documents.

use orlop_objects::kind;
use serde_json::{Value, json};

use super::{document, index, schemas};

fn read(path: &str) -> Value {
    serde_json::from_slice(&document(path).expect(path)).expect("documents are JSON")
}

#[test]
fn every_group_has_a_document_whose_references_all_lead_somewhere() {
    let index = index();
    let paths = index["paths"].as_object().expect("paths");
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/events.k8s.io/v1"), "{index}");
    for (path, entry) in paths {
        let address = entry["serverRelativeURL"].as_str().expect("an address");
        assert!(address.starts_with(&format!("/openapi/v3/{path}?hash=")), "{address}");
        let document = read(path);
        assert_eq!(schemas::dangling(&document), [].into(), "{path}");
        println!("{path}: {} KiB", document.to_string().len() / 1024);
    }
    assert!(
        paths.contains_key("apis/authorization.k8s.io/v1")
            && paths.contains_key("apis/authentication.k8s.io/v1")
    );
    assert!(document("api/v2").is_none());
}

#[test]
fn every_kind_can_be_created_patched_and_explained() {
    for kind in kind::ALL {
        let group =
            if kind.group.is_empty() { "api/v1".to_owned() } else { format!("apis/{}", kind.api_version()) };
        let document = read(&group);
        let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = &document["paths"][format!("/{group}{scope}/{}", kind.plural)];
        let object = &document["paths"][format!("/{group}{scope}/{}/{{name}}", kind.plural)];
        let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        for operation in [&collection["post"], &object["patch"], &object["put"]] {
            assert_eq!(operation["x-kubernetes-group-version-kind"], gvk, "{}", kind.kind);
            let parameters = operation["parameters"].as_array().expect("parameters");
            for name in ["fieldValidation", "dryRun", "fieldManager"] {
                assert!(parameters.iter().any(|p| p["name"] == name), "{} {name}", kind.kind);
            }
        }
        assert!(
            object["patch"]["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object()
        );
        let schema = &document["components"]["schemas"][kind.schema];
        assert_eq!(schema["x-kubernetes-group-version-kind"], json!([gvk]), "{}", kind.kind);
        assert_eq!(
            schema["properties"]["metadata"]["allOf"][0]["$ref"],
            "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
    }
}

#[test]
fn patch_metadata_is_where_kubectl_reads_it() {
    let document = read("api/v1");
    let schema =
        |name: &str| &document["components"]["schemas"][format!("io.k8s.api.core.v1.{name}")]["properties"];
    let volumes = &schema("PodSpec")["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    assert_eq!(volumes["x-kubernetes-patch-merge-key"], "name");
    let ports = &schema("Container")["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(schema("PersistentVolumeClaimSpec")["accessModes"]["items"]["enum"][0], "ReadWriteOnce");
    assert_eq!(schema("PersistentVolumeClaimSpec")["volumeMode"]["default"], "Filesystem");
    let ids: Vec<&Value> = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .flat_map(|p| ["get", "post", "put", "patch", "delete"].map(|m| &p[m]["operationId"]))
        .filter(|id| id.is_string())
        .collect();
    let unique: std::collections::HashSet<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(unique.len(), ids.len(), "operation ids are unique");
}
