//! Figures of network interfaces, sockets and the protocols above them.

use serde::Serialize;

use crate::sample::pack::{Codec, Layout, Malformed, Result};

/// Figures of [`Group::Network`](crate::sample::Group::Network).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Network {
    /// Each interface.
    pub interfaces: Vec<Interface>,
    /// Sockets, unless the configuration leaves them out.
    pub connections: Option<Connections>,
    /// What TCP has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpTraffic>,
    /// What UDP has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpTraffic>,
    /// Connections that the firewall follows; `None` where it doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<Conntrack>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Interface {
    /// The system's name.
    pub name: String,
    /// Whether it is hardware or stands on other interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<InterfaceKind>,
    /// The bond or bridge of which it is a part, whose figures include its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// State of RFC 2863: `up`, `down`, `lowerlayerdown`, `dormant`, `unknown`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether there is a carrier; `None` while it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<bool>,
    /// How often the carrier came or went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_changes: Option<u64>,
    /// Bytes a second that the link carries in one direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<u64>,
    /// Bytes of the largest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u64>,
    /// What came in.
    pub receive: Traffic,
    /// What went out.
    pub transmit: Traffic,
}

/// What an interface is: hardware and no others add up to all the traffic with the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the kernel's own words")]
pub enum InterfaceKind {
    Physical,
    Loopback,
    Bond,
    Bridge,
    Vlan,
    /// Anything else that the kernel makes: veth, tun, dummy, tunnels.
    Virtual,
}

/// One direction of an interface: counters since boot, and their rates since the last reading.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: Option<u64>,
    /// Packets dropped.
    pub dropped: Option<u64>,
    /// Packets lost because a buffer was full; part of `errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fifo: Option<u64>,
    /// Packets of the wrong length, sum or alignment; received only, part of `errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// Collisions; transmitted only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collisions: Option<u64>,
    /// Errors of the carrier and the like; transmitted only, part of `errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<u64>,
    /// Packets that were compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compressed: Option<u64>,
    /// Packets to many; received only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast: Option<u64>,
    /// Rate of `bytes`.
    pub bytes_per_second: Option<f32>,
    /// Rate of `packets`.
    pub packets_per_second: Option<f32>,
}

/// Sockets of IPv4 and IPv6 together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Connections {
    /// TCP sockets by state.
    pub tcp: Option<TcpStates>,
    /// Open UDP sockets.
    pub udp: Option<u64>,
}

/// TCP sockets by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the states of RFC 9293, one field each")]
pub struct TcpStates {
    pub established: u64,
    pub syn_sent: u64,
    pub syn_recv: u64,
    pub fin_wait1: u64,
    pub fin_wait2: u64,
    pub time_wait: u64,
    pub close: u64,
    pub close_wait: u64,
    pub last_ack: u64,
    pub listen: u64,
    pub closing: u64,
}

/// What TCP has done since boot, IPv4 and IPv6 together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TcpTraffic {
    /// Connections opened from here.
    pub active_opens: Option<u64>,
    /// Connections opened from outside.
    pub passive_opens: Option<u64>,
    /// Connections that didn't come about.
    pub failed_opens: Option<u64>,
    /// Connections that ended with a reset.
    pub resets: Option<u64>,
    /// Segments received, bad ones included.
    pub in_segments: Option<u64>,
    /// Segments sent, without those sent again.
    pub out_segments: Option<u64>,
    /// Segments sent again.
    pub retransmitted: Option<u64>,
    /// Bad segments received.
    pub in_errors: Option<u64>,
    /// Resets sent.
    pub out_resets: Option<u64>,
    /// Connections from outside that were thrown away because a listening program was too slow.
    pub listen_overflows: Option<u64>,
    /// Connections from outside that were thrown away, overflows included.
    pub listen_drops: Option<u64>,
}

/// What UDP has done since boot, IPv4 and IPv6 together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct UdpTraffic {
    /// Datagrams that reached a program.
    pub in_datagrams: Option<u64>,
    /// Datagrams sent.
    pub out_datagrams: Option<u64>,
    /// Datagrams to a port without a program.
    pub no_ports: Option<u64>,
    /// Datagrams lost for any other reason, full buffers included.
    pub in_errors: Option<u64>,
    /// Datagrams lost because the program's buffer was full.
    pub receive_buffer_errors: Option<u64>,
    /// Datagrams that weren't sent because the buffer was full.
    pub send_buffer_errors: Option<u64>,
}

/// Connections that the firewall follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Conntrack {
    /// Now.
    pub count: u64,
    /// At most; beyond, packets are dropped.
    pub max: Option<u64>,
}

impl Layout for Network {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.list(&mut self.interfaces)?;
        codec.optional(&mut self.connections, |codec, connections| connections.layout(codec))?;
        codec.optional(&mut self.tcp, |codec, tcp| tcp.layout(codec))?;
        codec.optional(&mut self.udp, |codec, udp| udp.layout(codec))?;
        codec.optional(&mut self.conntrack, |codec, conntrack| {
            codec.number(&mut conntrack.count)?;
            codec.count(&mut conntrack.max)
        })
    }
}

impl Layout for Interface {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.text(&mut self.name)?;
        let mut kind = self.kind.map(InterfaceKind::number);
        codec.count(&mut kind)?;
        self.kind = kind.map(InterfaceKind::numbered).transpose()?;
        codec.optional_text(&mut self.master)?;
        // Nearly always this one.
        let up = Some(String::from("up"));
        codec.derived(&mut self.state, up, C::optional_text)?;
        codec.flag(&mut self.carrier)?;
        codec.count(&mut self.carrier_changes)?;
        codec.count(&mut self.speed)?;
        codec.count(&mut self.mtu)?;
        self.receive.layout(codec)?;
        self.transmit.layout(codec)
    }
}

impl InterfaceKind {
    const ALL: [Self; 6] =
        [Self::Physical, Self::Loopback, Self::Bond, Self::Bridge, Self::Vlan, Self::Virtual];

    fn number(self) -> u64 {
        (0..).zip(Self::ALL).find(|(_, kind)| *kind == self).map_or(0, |(number, _)| number)
    }

    fn numbered(number: u64) -> Result<Self> {
        let number = usize::try_from(number).map_err(|_| Malformed)?;
        Self::ALL.get(number).copied().ok_or(Malformed)
    }
}

impl Layout for Traffic {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.number(&mut self.bytes)?;
        codec.number(&mut self.packets)?;
        let Self { errors, dropped, fifo, frame, collisions, carrier, .. } = self;
        for count in [errors, dropped, fifo, frame, collisions, carrier] {
            codec.count(count)?;
        }
        codec.count(&mut self.compressed)?;
        codec.count(&mut self.multicast)?;
        codec.float(&mut self.bytes_per_second)?;
        codec.float(&mut self.packets_per_second)
    }
}

impl Layout for Connections {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.optional(&mut self.tcp, |codec, tcp| tcp.layout(codec))?;
        codec.count(&mut self.udp)
    }
}

impl Layout for TcpStates {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        let Self { established, syn_sent, syn_recv, fin_wait1, fin_wait2, .. } = self;
        for count in [established, syn_sent, syn_recv, fin_wait1, fin_wait2] {
            codec.number(count)?;
        }
        let Self { time_wait, close, close_wait, last_ack, listen, closing, .. } = self;
        for count in [time_wait, close, close_wait, last_ack, listen, closing] {
            codec.number(count)?;
        }
        Ok(())
    }
}

impl Layout for TcpTraffic {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        let Self { active_opens, passive_opens, failed_opens, resets, in_segments, .. } = self;
        for count in [active_opens, passive_opens, failed_opens, resets, in_segments] {
            codec.count(count)?;
        }
        let Self { out_segments, retransmitted, in_errors, out_resets, .. } = self;
        for count in [out_segments, retransmitted, in_errors, out_resets] {
            codec.count(count)?;
        }
        codec.count(&mut self.listen_overflows)?;
        codec.count(&mut self.listen_drops)
    }
}

impl Layout for UdpTraffic {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.count(&mut self.in_datagrams)?;
        codec.count(&mut self.out_datagrams)?;
        codec.count(&mut self.no_ports)?;
        codec.count(&mut self.in_errors)?;
        codec.count(&mut self.receive_buffer_errors)?;
        codec.count(&mut self.send_buffer_errors)
    }
}
