//! kill -9 of whatever works: edges, apis, workers, control, the broker, in an order by seed.

use e2e::{Random, Tier, Victim};

use crate::table::{Goal, Table};
use crate::trial::Trial;
use crate::words::Words;

/// How often each is killed, of so many kills. Workers most: they hold the most.
const SHARES: [(Victim, usize); 5] = [
    (Victim::Tier(Tier::Worker), 20),
    (Victim::Tier(Tier::Api), 12),
    (Victim::Tier(Tier::Edge), 6),
    (Victim::Broker, 7),
    (Victim::Tier(Tier::Control), 5),
];

/// Kills as many as the words say, and counts.
pub(crate) async fn measure(words: &Words, table: &mut Table) {
    let mut random = Random::new(words.seed);
    let trial = Trial::start().await;
    let victims = draw(words.kills, &mut random);
    for (number, victim) in victims.iter().enumerate() {
        let begun = tokio::time::Instant::now();
        victim.kill(&trial.stack, &trial.servers, &mut random).await;
        let (number, took) = (number + 1, begun.elapsed().as_millis());
        let accepted = trial.load.accepted();
        crate::say(&format!("  {number} {}: {took} ms, {accepted} jobs", victim.as_str()));
    }
    for victim in Victim::ALL {
        let kills = victims.iter().filter(|other| **other == victim).count() as u64;
        table.figure(&format!("{}s killed at work", victim.as_str()), Goal::AtLeast(1), kills);
    }
    let kills = words.kills as u64;
    table.figure("killed at work in all", Goal::AtLeast(kills), victims.len() as u64);
    let missing = words.jobs.saturating_sub(trial.load.accepted());
    trial.load.flows(missing).await;
    table.figure("jobs accepted meanwhile", Goal::AtLeast(words.jobs), trial.load.accepted());
    trial.end(table).await;
}

/// Deals victims by their shares, and shuffles them.
fn draw(kills: usize, random: &mut Random) -> Vec<Victim> {
    let deck = SHARES.iter().flat_map(|(victim, share)| std::iter::repeat_n(*victim, *share));
    let mut deck: Vec<Victim> = deck.collect();
    random.shuffle(&mut deck);
    let mut victims: Vec<Victim> = deck.into_iter().cycle().take(kills).collect();
    random.shuffle(&mut victims);
    victims
}
