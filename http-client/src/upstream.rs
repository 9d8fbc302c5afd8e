//! A service, as this process calls it.

mod attempt;
mod running;

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, header};
use parking_lot::{Mutex, RwLock};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::address::{ServiceUrl, SettingError};
use crate::authority::CertificateAuthority;
use crate::balance::{self, Choice};
use crate::body::Body;
use crate::budget::Budget;
use crate::connection::Connector;
use crate::ejection;
use crate::error::CallError;
use crate::headers;
use crate::instance::{Admitted, Instance};
use crate::measure;
use crate::options::CallOptions;
use crate::settings::{Afterwards, UpstreamSettings};
use crate::status::{CircuitState, InstanceStatus};
use crate::tls;
use running::Running;

/// How a foreign server knows us.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("nakku/", env!("CARGO_PKG_VERSION")));
/// Choices of one attempt: each is lost only to somebody else who was the probe.
const CHOICES_MAX: usize = 8;

/// A service of one or several instances. Cheap to clone: clones share connections, breakers and the budget.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    settings: UpstreamSettings,
    service_token: Option<HeaderValue>,
    /// For `https`; it is costly to make and not needed everywhere.
    secure: RwLock<Option<Connector>>,
    plain: Connector,
    instances: RwLock<Arc<[Arc<Instance>]>>,
    budget: Mutex<Budget>,
    next_sweep: Mutex<Instant>,
}

impl Upstream {
    /// A service at these addresses; nothing is sent yet.
    ///
    /// # Errors
    /// When the token does not fit a header, or there are no certificates to trust.
    pub fn new(
        name: impl Into<Arc<str>>,
        instances: &[ServiceUrl],
        settings: UpstreamSettings,
    ) -> Result<Self, SettingError> {
        let now = Instant::now();
        let service_token = settings.service_token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| {
                SettingError::new("a service token must be visible ASCII characters")
            })?;
            // Kept out of what is logged.
            value.set_sensitive(true);
            Ok(value)
        });
        let inner = Inner {
            name: name.into(),
            service_token: service_token.transpose()?,
            secure: RwLock::new(None),
            plain: Connector::new(tls::trusting_nobody()?, settings.connect_timeout),
            settings,
            instances: RwLock::new(Arc::new([])),
            budget: Mutex::new(Budget::new(now)),
            next_sweep: Mutex::new(now + ejection::SWEEP_EVERY),
        };
        if instances.iter().any(ServiceUrl::is_https) {
            inner.secure()?;
        }
        let upstream = Upstream(Arc::new(inner));
        upstream.set_instances(instances);
        Ok(upstream)
    }

    /// A server of somebody else, at one address. Nothing is repeated, no circuit breaker holds a call back, and none of our
    /// own headers is sent. Redirects are answers: a signed or charging request goes where the operator said.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn foreign(
        name: impl Into<Arc<str>>,
        url: ServiceUrl,
        authority: Option<CertificateAuthority>,
        afterwards: Afterwards,
    ) -> Result<Self, SettingError> {
        Upstream::new(
            name,
            &[url],
            UpstreamSettings::foreign(authority, afterwards),
        )
    }

    /// Calls these instances from now on. Those that stay keep what is known of them, and their connections.
    pub fn set_instances(&self, urls: &[ServiceUrl]) {
        let inner = &*self.0;
        let now = Instant::now();
        let mut present = inner.instances.write();
        let mut next: Vec<Arc<Instance>> = Vec::with_capacity(urls.len());
        let pool = &inner.settings.pool;
        let share = pool.share(urls.len());
        let is_new_share = share != pool.share(present.len());
        for url in urls {
            if next.iter().any(|instance| instance.url() == url) {
                continue;
            }
            let connector = inner.connector(url);
            let connections = || connector.pool(share, pool.idle_timeout);
            if let Some(stays) = present.iter().find(|instance| instance.url() == url) {
                if is_new_share {
                    stays.set_connections(connections());
                }
                next.push(Arc::clone(stays));
                continue;
            }
            let name = Arc::clone(&inner.name);
            let breaker = inner.settings.breaker.clone();
            let instance = Instance::new(name, url.clone(), connections(), breaker, now);
            instance.measure_circuit(CircuitState::Closed);
            next.push(Arc::new(instance));
        }
        for gone in present.iter().filter(|gone| !urls.contains(gone.url())) {
            gone.measure_circuit(CircuitState::Closed);
        }
        *present = next.into();
    }

    /// As it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Has an instance answer the request, whose URI is a path below the address of each. Dropping the future closes the
    /// connection of the running attempt.
    ///
    /// # Errors
    /// [`CallError::NotSent`] and [`CallError::Unknown`].
    pub async fn call(
        &self,
        request: Request<Body>,
        options: CallOptions,
    ) -> Result<Response<Body>, CallError> {
        Running::begin(&self.0, request, options).await?.run().await
    }

    /// Its instances, as of now.
    #[must_use]
    pub fn status(&self) -> Vec<InstanceStatus> {
        let now = Instant::now();
        let instances = self.0.instances();
        instances.iter().map(|one| one.status(now)).collect()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, instances) = (&self.0.name, self.0.instances());
        write!(f, "Upstream({name} {instances:?})")
    }
}

/// Why no instance was chosen.
struct Refusal {
    why: &'static str,
    until: Option<Instant>,
}

impl Inner {
    fn instances(&self) -> Arc<[Arc<Instance>]> {
        Arc::clone(&self.instances.read())
    }

    fn is_own(&self) -> bool {
        self.service_token.is_some()
    }

    /// Chooses an instance, and has it let the call through.
    fn admit(
        &self,
        now: Instant,
        tried: &[Arc<Instance>],
        can_fail: bool,
        is_timed: bool,
    ) -> Result<Admitted, Refusal> {
        let instances = self.instances();
        self.sweep(&instances, now);
        let mut random = rand::rng();
        let is_tried = |one: &Arc<Instance>| tried.iter().any(|tried| Arc::ptr_eq(tried, one));
        for _ in 0..CHOICES_MAX {
            let candidates: Vec<_> = instances
                .iter()
                .map(|one| one.candidate(now, is_tried(one)))
                .collect();
            match balance::choose(&candidates, now, can_fail, &mut random) {
                Choice::Instance(index) => {
                    if let Some(admitted) = instances[index].admit(now, is_timed) {
                        return Ok(admitted);
                    }
                }
                Choice::AllOpen(until) => {
                    return Err(Refusal {
                        why: "all its instances failed a moment ago",
                        until: Some(until),
                    });
                }
                Choice::NoInstance => {
                    return Err(Refusal {
                        why: "no instance of it is known",
                        until: None,
                    });
                }
            }
        }
        Err(Refusal {
            why: "others were faster to ask its instances",
            until: None,
        })
    }

    /// Ejects outliers, once a second at most.
    fn sweep(&self, instances: &[Arc<Instance>], now: Instant) {
        // Without a breaker nothing is held back, and one instance is never ejected.
        if self.settings.breaker.is_none() || instances.len() < 2 {
            return;
        }
        {
            let mut next = self.next_sweep.lock();
            if now < *next {
                return;
            }
            *next = now + ejection::SWEEP_EVERY;
        }
        let seen: Vec<_> = instances.iter().map(|one| one.seen(now)).collect();
        for (index, reason) in ejection::sweep(&seen) {
            instances[index].eject(now);
            measure::ejection(&self.name, reason.label());
            let (upstream, instance, reason) = (&self.name, &instances[index], reason.label());
            tracing::info!(%upstream, ?instance, reason, "an instance is left out for a while");
        }
    }

    fn connector(&self, url: &ServiceUrl) -> Connector {
        if !url.is_https() {
            return self.plain.clone();
        }
        self.secure().unwrap_or_else(|error| {
            // Later on there is nobody to refuse the address; its calls fail, with what they say of the certificate.
            tracing::error!(upstream = %self.name, %error, "TLS cannot be set up");
            self.plain.clone()
        })
    }

    fn secure(&self) -> Result<Connector, SettingError> {
        if let Some(connector) = &*self.secure.read() {
            return Ok(connector.clone());
        }
        let tls = tls::trusting(self.settings.authority.as_ref())?;
        let connector = Connector::new(tls, self.settings.connect_timeout);
        *self.secure.write() = Some(connector.clone());
        Ok(connector)
    }

    /// The headers that all attempts of a call have.
    fn prepare(&self, headers: &mut HeaderMap, hops: u32) {
        for own in &headers::OWN {
            headers.remove(own);
        }
        // Of the connection that the request came by.
        headers.remove(header::HOST);
        headers.remove(header::TRANSFER_ENCODING);
        if let Some(token) = &self.service_token {
            headers.insert(headers::SERVICE_TOKEN, token.clone());
            headers.insert(headers::HOPS, hops.saturating_add(1).into());
        } else {
            headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
        }
    }
}
