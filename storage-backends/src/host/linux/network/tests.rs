//! The network on the real kernel, in a namespace that each test has for itself: nothing of the machine's own is touched.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    sched::CloneFlags,
    sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn},
};

use super::{
    super::scratch::{Scratch, can_run},
    LinuxNetwork,
};
use crate::host::{
    Namespace, Runtime,
    linux::{LinuxRuntime, RuntimeConfig},
    network::{Bridge, Cable, Network, Passage, Route},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test in a network namespace of its own, on a thread that ends with it.
fn alone(test: &str, body: impl FnOnce(&Scratch) + Send) {
    if !can_run(test) {
        return;
    }
    let scratch = Scratch::new();
    let outcome = thread::scope(|scope| {
        let thread = scope.spawn(|| match nix::sched::unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => body(&scratch),
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no network namespace: {error}");
            }
        });
        thread.join()
    });
    drop(scratch);
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn bridge(n: u8) -> Bridge {
    Bridge {
        name: format!("bridge{n}"),
        alias: format!("bridge of {n}"),
        address: Ipv4Addr::new(10, 77, n, 1),
        length: 24,
        mtu: 1400,
    }
}

/// Pins a pod's namespaces and answers its cable to bridge `n`.
fn pod(scratch: &Scratch, n: u8, host: u8) -> Cable {
    let run_dir = scratch.path().join("run");
    let runtime =
        LinuxRuntime::new(RuntimeConfig { run_dir: run_dir.clone(), instance: "0123abcd".into() }).unwrap();
    let dir = run_dir.join(format!("ns/{n}-{host}"));
    runtime.pin_namespaces(&dir, &[Namespace::Net], "pod").unwrap();
    Cable {
        name: format!("cable{n}x{host}"),
        alias: format!("pod {host} of {n}"),
        bridge: bridge(n).name,
        namespace: dir.join("net"),
        address: Ipv4Addr::new(10, 77, n, host),
        length: 24,
        gateway: bridge(n).address,
        mtu: 1400,
    }
}

/// Runs something in a pod's network.
fn inside<T: Send + 'static>(
    namespace: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let namespace = File::open(namespace).unwrap();
    thread::spawn(move || {
        nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
}

/// A pod answers with its name on port 80; the caller's network sees it.
fn serve(cable: &Cable) -> thread::JoinHandle<()> {
    let name = cable.name.clone();
    let listener = inside(&cable.namespace, || TcpListener::bind("0.0.0.0:80").unwrap()).join().unwrap();
    thread::spawn(move || {
        // Until it is asked by nobody but the test that ends.
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let from = stream.peer_addr().unwrap().ip();
            stream.write_all(format!("{name} to {from}").as_bytes()).unwrap();
            if from == stream.local_addr().unwrap().ip() {
                return;
            }
        }
    })
}

fn ask(address: Ipv4Addr) -> String {
    let mut stream = TcpStream::connect_timeout(&(address, 80).into(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

fn ask_from(cable: &Cable, address: Ipv4Addr) -> String {
    inside(&cable.namespace, move || ask(address)).join().unwrap()
}

#[test]
fn root_pods_on_a_bridge_reach_each_other_and_are_reached() {
    alone("root_pods_on_a_bridge_reach_each_other_and_are_reached", |scratch| {
        LinuxNetwork.set_bridge(&bridge(1)).unwrap();
        let pods = [pod(scratch, 1, 2), pod(scratch, 1, 3)];
        let servers = pods.each_ref().map(|pod| {
            LinuxNetwork.connect(pod).unwrap();
            serve(pod)
        });
        assert_eq!(ask(pods[0].address), "cable1x2 to 10.77.1.1");
        assert_eq!(ask(pods[1].address), "cable1x3 to 10.77.1.1");
        assert_eq!(ask_from(&pods[0], pods[1].address), "cable1x3 to 10.77.1.2");
        assert_eq!(ask_from(&pods[1], pods[0].address), "cable1x2 to 10.77.1.3");
        for (pod, server) in pods.iter().zip(servers) {
            ask_from(pod, pod.address);
            server.join().unwrap();
        }
        let link = LinuxNetwork.link("cable1x2").unwrap().unwrap();
        assert_eq!(
            (link.alias.as_str(), link.up, link.mtu, link.kind.as_str()),
            ("pod 2 of 1", true, 1400, "veth")
        );
    });
}

#[test]
fn root_what_is_there_is_left_and_what_is_half_is_made_anew() {
    alone("root_what_is_there_is_left_and_what_is_half_is_made_anew", |scratch| {
        let index = |name: &str| LinuxNetwork.link(name).unwrap().map(|link| link.index);
        let wanted = bridge(1);
        LinuxNetwork.set_bridge(&Bridge { address: Ipv4Addr::new(10, 78, 0, 1), ..wanted.clone() }).unwrap();
        let first = index("bridge1");
        LinuxNetwork.set_bridge(&wanted).unwrap();
        LinuxNetwork.set_bridge(&wanted).unwrap();
        assert_eq!(index("bridge1"), first, "the same bridge");
        let addresses = LinuxNetwork.addresses().unwrap();
        let own: Vec<_> = addresses.iter().filter(|a| Some(a.link) == first).map(|a| a.address).collect();
        assert_eq!(own, [wanted.address], "one address, the one that is wanted");

        let cable = pod(scratch, 1, 2);
        LinuxNetwork.connect(&cable).unwrap();
        let made = index(&cable.name);
        LinuxNetwork.connect(&cable).unwrap();
        assert_eq!(index(&cable.name), made, "a complete cable is left alone");
        // As after a death before its description was written.
        LinuxNetwork.connect(&Cable { alias: "half".into(), ..cable.clone() }).unwrap();
        LinuxNetwork.connect(&cable).unwrap();
        assert_ne!(index(&cable.name), made);
        LinuxNetwork.remove_link(&cable.name).unwrap();
        LinuxNetwork.remove_link(&cable.name).unwrap();
        assert_eq!(index(&cable.name), None);
        let error = LinuxNetwork.connect(&Cable { bridge: "none".into(), ..cable.clone() }).unwrap_err();
        assert!(error.source.to_string().contains("the bridge none is not there"), "{error:?}");
        LinuxNetwork.set_bridge(&Bridge { name: "lo".into(), ..wanted }).unwrap_err();
    });
}

#[test]
fn root_routes_are_an_instances_own() {
    alone("root_routes_are_an_instances_own", |_| {
        LinuxNetwork.set_bridge(&bridge(1)).unwrap();
        let route = |to: &str, host: u8, instance: u32| Route {
            to: to.parse().unwrap(),
            via: Some(Ipv4Addr::new(10, 77, 1, host)),
            link: None,
            instance: Some(instance),
        };
        let ways = |instance: u32| -> Vec<String> {
            let own = LinuxNetwork.routes().unwrap().into_iter().filter(|r| r.instance == Some(instance));
            own.map(|r| format!("{} {}", r.to, r.via.unwrap())).collect()
        };
        LinuxNetwork.add_route(&route("10.99.0.0/24", 9, 7)).unwrap();
        LinuxNetwork.add_route(&route("10.99.0.0/24", 9, 8)).unwrap();
        LinuxNetwork.add_route(&route("10.99.0.0/24", 10, 7)).unwrap();
        assert_eq!(
            (ways(7), ways(8)),
            (vec!["10.99.0.0/24 10.77.1.10".into()], vec!["10.99.0.0/24 10.77.1.9".into()])
        );
        LinuxNetwork.remove_route(&route("10.99.0.0/24", 10, 7)).unwrap();
        LinuxNetwork.remove_route(&route("10.99.0.0/24", 10, 7)).unwrap();
        assert_eq!((ways(7).len(), ways(8).len()), (0, 1));
        let far = Route { via: Some(Ipv4Addr::new(192, 0, 2, 9)), ..route("10.99.1.0/24", 9, 7) };
        let error = LinuxNetwork.add_route(&far).unwrap_err();
        assert!(error.source.to_string().contains("nodes must share one"), "{error:?}");
        let connected =
            LinuxNetwork.routes().unwrap().into_iter().find(|r| r.to.contains(bridge(1).address)).unwrap();
        assert_eq!((connected.via, connected.instance), (None, None));
    });
}

fn passage(n: u8, peers: &[&str]) -> Passage {
    Passage {
        mark: format!("0123ab{n:02}"),
        bridge: bridge(n).name,
        range: format!("10.77.{n}.0/24").parse().unwrap(),
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
    }
}

/// Two instances on one machine, as two agents of a cluster have them: pods keep their own address towards each other.
#[test]
fn root_pods_of_two_bridges_reach_each_other() {
    alone("root_pods_of_two_bridges_reach_each_other", |scratch| {
        let pods = [1, 2].map(|n| {
            LinuxNetwork.set_bridge(&bridge(n)).unwrap();
            let pod = pod(scratch, n, 2);
            LinuxNetwork.connect(&pod).unwrap();
            LinuxNetwork.open_passage(&passage(n, &["10.77.1.0/24", "10.77.2.0/24"])).unwrap();
            pod
        });
        assert_eq!(fs::read_to_string("/proc/thread-self/net/route").unwrap().lines().count(), 3);
        let server = serve(&pods[1]);
        assert_eq!(ask_from(&pods[0], pods[1].address), "cable2x2 to 10.77.1.2");
        ask_from(&pods[1], pods[1].address);
        server.join().unwrap();
        [1, 2].iter().for_each(|n| LinuxNetwork.close_passage(&passage(*n, &[]).mark).unwrap());
    });
}

/// Connects to port 80 from a port of one's choice.
fn connect_from(port: u16, to: Ipv4Addr) -> TcpStream {
    let (family, kind) = (AddressFamily::Inet, SockType::Stream);
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let end = |address, port| SockaddrIn::from(SocketAddrV4::new(address, port));
    socket::bind(socket.as_raw_fd(), &end(Ipv4Addr::UNSPECIFIED, port)).unwrap();
    socket::connect(socket.as_raw_fd(), &end(to, 80)).unwrap();
    socket.into()
}

/// A pod of this machine, and one that plays another machine: the range of its bridge is none of the cluster's pods.
fn pod_and_elsewhere(scratch: &Scratch) -> [Cable; 2] {
    [1, 2].map(|n| {
        LinuxNetwork.set_bridge(&bridge(n)).unwrap();
        let pod = pod(scratch, n, 2);
        LinuxNetwork.connect(&pod).unwrap();
        pod
    })
}

/// What a server that believes a node's address and reserved ports is told by the node's pods.
#[test]
fn root_a_pod_is_not_taken_for_its_node() {
    let test = "root_a_pod_is_not_taken_for_its_node";
    alone(test, |scratch| {
        const RESERVED: u16 = 700;
        let [pod, server] = pod_and_elsewhere(scratch);
        if !LinuxNetwork.open_passage(&passage(1, &[])).unwrap().is_empty() {
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no iptables (make setup)");
            return;
        }
        let node = bridge(2).address;
        let listener = inside(&server.namespace, || TcpListener::bind("0.0.0.0:80").unwrap()).join().unwrap();
        let peer = |listener: &TcpListener| listener.accept().unwrap().1;
        let from_node = connect_from(RESERVED, server.address);
        assert_eq!(peer(&listener), SocketAddrV4::new(node, RESERVED).into(), "the node itself");
        drop(from_node);
        let from_pod = inside(&pod.namespace, move || connect_from(RESERVED, server.address));
        let seen = peer(&listener);
        assert_eq!(seen.ip(), node, "a pod goes out under its node's address");
        assert!(seen.port() >= 1024, "and without a port that is the node's alone: {seen}");
        drop(from_pod.join().unwrap());
        // This machine sees a pod's own address, at whichever of its own it is asked.
        let here = TcpListener::bind((node, 80)).unwrap();
        let from_pod = inside(&pod.namespace, move || connect_from(RESERVED, node));
        assert_eq!(peer(&here), SocketAddrV4::new(pod.address, RESERVED).into());
        drop(from_pod.join().unwrap());
        LinuxNetwork.close_passage(&passage(1, &[]).mark).unwrap();
    });
}

/// A pod that takes an address of another machine for its own.
#[test]
fn root_a_pod_does_not_speak_under_anothers_address() {
    let test = "root_a_pod_does_not_speak_under_anothers_address";
    alone(test, |scratch| {
        let [pod, elsewhere] = pod_and_elsewhere(scratch);
        if !LinuxNetwork.open_passage(&passage(1, &[])).unwrap().is_empty() {
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no iptables (make setup)");
            return;
        }
        let socket = inside(&elsewhere.namespace, || UdpSocket::bind("0.0.0.0:80").unwrap()).join().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let stolen = Bridge { address: Ipv4Addr::new(10, 77, 2, 9), length: 32, ..bridge(9) };
        inside(&pod.namespace, move || {
            LinuxNetwork.set_bridge(&stolen).unwrap();
            for from in [stolen.address, pod.address] {
                let socket = UdpSocket::bind((from, 0)).unwrap();
                socket.send_to(&from.octets(), (elsewhere.address, 80)).unwrap();
            }
        })
        .join()
        .unwrap();
        let mut heard = [0; 4];
        socket.recv_from(&mut heard).unwrap();
        assert_eq!(
            Ipv4Addr::from(heard),
            Ipv4Addr::new(10, 77, 1, 2),
            "the first that arrives is the honest one"
        );
        LinuxNetwork.close_passage(&passage(1, &[]).mark).unwrap();
    });
}

#[test]
fn root_firewall_rules_come_once_follow_the_nodes_and_go() {
    let test = "root_firewall_rules_come_once_follow_the_nodes_and_go";
    alone(test, |_| {
        LinuxNetwork.set_bridge(&bridge(1)).unwrap();
        let troubles = LinuxNetwork.open_passage(&passage(1, &["10.77.2.0/24"])).unwrap();
        let has_iptables =
            ["/usr/sbin/iptables", "/sbin/iptables"].iter().any(|path| PathBuf::from(path).exists());
        if !has_iptables {
            assert!(troubles.iter().any(|t| t.contains("install the package iptables")), "{troubles:?}");
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no iptables (make setup)");
            return;
        }
        assert_eq!(troubles, Vec::<String>::new());
        let rules = |table: &str| {
            let listed = super::firewall::list(table).unwrap();
            listed.lines().filter(|line| line.contains("ORLOP")).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let nat = [
            "-N ORLOP-0123ab01",
            "-A POSTROUTING -j ORLOP-0123ab01",
            "-A ORLOP-0123ab01 -s 10.77.1.0/24 -d 10.77.2.0/24 -j RETURN",
            "-A ORLOP-0123ab01 -s 10.77.1.0/24 ! -o bridge1 -p tcp -j MASQUERADE --to-ports 1024-65535",
            "-A ORLOP-0123ab01 -s 10.77.1.0/24 ! -o bridge1 -p udp -j MASQUERADE --to-ports 1024-65535",
            "-A ORLOP-0123ab01 -s 10.77.1.0/24 ! -o bridge1 -j MASQUERADE",
        ];
        assert_eq!(rules("nat"), nat);
        let before = (rules("filter"), rules("nat"));
        LinuxNetwork.open_passage(&passage(1, &["10.77.2.0/24"])).unwrap();
        assert_eq!((rules("filter"), rules("nat")), before, "once is enough");
        LinuxNetwork.open_passage(&passage(1, &["10.77.3.0/24"])).unwrap();
        assert!(rules("nat")[2].contains("10.77.3.0/24") && rules("nat").len() == 6, "{:?}", rules("nat"));
        LinuxNetwork.open_passage(&passage(2, &[])).unwrap();
        LinuxNetwork.close_passage(&passage(1, &[]).mark).unwrap();
        LinuxNetwork.close_passage(&passage(1, &[]).mark).unwrap();
        assert!(
            rules("nat").iter().all(|rule| rule.contains("0123ab02")),
            "another's stay: {:?}",
            rules("nat")
        );
        LinuxNetwork.close_passage(&passage(2, &[]).mark).unwrap();
        assert_eq!((rules("filter"), rules("nat")), (vec![], vec![]));
    });
}
