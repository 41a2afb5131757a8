//! One rule of nf_tables: every UDP datagram is dropped.
//! Source: v6.12 include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h.
use anyhow::{Context, Result};

use super::Namespace;
use super::netlink::{Body, CREATE, Messages};
use crate::skip::skip;

#[derive(Clone, Copy, Debug)]
pub enum Hook {
    Input = 1,
    Output = 3,
}

const TABLE: &str = "spoor";
const CHAIN: &str = "drops";

pub fn drop_udp(namespace: &Namespace, hook: Hook) -> Result<()> {
    let messages = Messages::default()
        .and(libc::NFNL_MSG_BATCH_BEGIN as u16, 0, head(libc::AF_UNSPEC, SUBSYSTEM))
        .and(kind(libc::NFT_MSG_NEWTABLE), CREATE, head(INET, 0).text(NFTA_TABLE_NAME, TABLE))
        .and(kind(libc::NFT_MSG_NEWCHAIN), CREATE, chain(hook))
        .and(kind(libc::NFT_MSG_NEWRULE), CREATE | libc::NLM_F_ACK as u16, rule())
        .and(libc::NFNL_MSG_BATCH_END as u16, 0, head(libc::AF_UNSPEC, SUBSYSTEM));
    match messages.send(namespace, libc::NETLINK_NETFILTER)? {
        // No netfilter, or no nf_tables in it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP)) => {
            skip("not supported: nf_tables")
        }
        result => result.context("add a rule of nf_tables"),
    }
}

fn chain(hook: Hook) -> Body {
    let hook = Body::default().big_endian(NFTA_HOOK_HOOKNUM, hook as u32).big_endian(NFTA_HOOK_PRIORITY, 0);
    head(INET, 0)
        .text(NFTA_CHAIN_TABLE, TABLE)
        .text(NFTA_CHAIN_NAME, CHAIN)
        .nest(NFTA_CHAIN_HOOK, hook)
        .text(NFTA_CHAIN_TYPE, "filter")
}

/// `meta l4proto udp drop`.
fn rule() -> Body {
    let register = libc::NFT_REG_1 as u32;
    let load =
        Body::default().big_endian(NFTA_META_DREG, register).big_endian(NFTA_META_KEY, libc::NFT_META_L4PROTO as u32);
    let udp = Body::default().bytes(NFTA_DATA_VALUE, &[libc::IPPROTO_UDP as u8]);
    let compare = Body::default()
        .big_endian(NFTA_CMP_SREG, register)
        .big_endian(NFTA_CMP_OP, libc::NFT_CMP_EQ as u32)
        .nest(NFTA_CMP_DATA, udp);
    let code = Body::default().big_endian(NFTA_VERDICT_CODE, libc::NF_DROP as u32);
    let verdict = Body::default().nest(NFTA_DATA_VERDICT, code);
    let drop = Body::default()
        .big_endian(NFTA_IMMEDIATE_DREG, libc::NFT_REG_VERDICT as u32)
        .nest(NFTA_IMMEDIATE_DATA, verdict);
    let expressions = [("meta", load), ("cmp", compare), ("immediate", drop)];
    let expressions = expressions.into_iter().fold(Body::default(), |all, (name, data)| {
        let one = Body::default().text(NFTA_EXPR_NAME, name);
        all.nest(NFTA_LIST_ELEM, one.nest(NFTA_EXPR_DATA, data))
    });
    head(INET, 0).text(NFTA_RULE_TABLE, TABLE).text(NFTA_RULE_CHAIN, CHAIN).nest(NFTA_RULE_EXPRESSIONS, expressions)
}

/// NFPROTO_INET: both families.
const INET: i32 = 1;
const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;

fn kind(message: i32) -> u16 {
    SUBSYSTEM << 8 | message as u16
}

/// struct nfgenmsg: family, version, resource.
fn head(family: i32, resource: u16) -> Body {
    let [high, low] = resource.to_be_bytes();
    Body::of(&[family as u8, 0, high, low])
}

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
