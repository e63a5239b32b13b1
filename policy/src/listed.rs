//! Enumerations that know all of their values.

/// An enumeration, all of its values included, so that none can be missing from the list.
macro_rules! listed {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$of:meta])* $value:ident $(($inner:ident))?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of])* $value $(($inner))?,)* }

        impl $name {
            /// Every value, in the order above.
            #[must_use]
            pub fn all() -> Vec<Self> {
                [$(listed!(@values $value $($inner)?),)*].concat()
            }
        }
    };
    (@values $value:ident) => { vec![Self::$value] };
    (@values $value:ident $inner:ident) => { $inner::all().into_iter().map(Self::$value).collect::<Vec<_>>() };
}
pub(crate) use listed;
